"""Is Redis there, new enough, and set up to lose nothing?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import RedisError

from receiver.cli.checks.finding import Finding, fail, ok, size, warn
from receiver.pipeline import durability, room
from receiver.pipeline.connection import Client

OLDEST = (6, 2)
SLOW = 20.0
"""Milliseconds of a round trip."""


async def check(client: Client) -> list[Finding]:
    """Look at the Redis in which the inbox lives. One that doesn't answer is an exception."""
    info: dict[str, Any] = await client.info()
    return [
        *_version(info),
        await _latency(client),
        *_memory(info),
        *await _log(client, info),
    ]


def _version(info: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(info["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        yield fail("Redis version", version, "Use Redis 6.2 or a newer one.")
    else:
        yield ok("Redis version", version)


async def _latency(client: Client) -> Finding:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        await client.ping()
        times.append((time.perf_counter() - began) * 1000)
    said = f"{min(times):.1f} ms"
    if min(times) > SLOW:
        do = "Bring Redis nearer: every request waits for one round trip, and drains for some."
        return warn("Redis round trip", said, do)
    return ok("Redis round trip", said)


def _memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    policy = durability.policy_of(info)
    if policy == "noeviction":
        yield ok("Eviction", policy)
    else:
        yield warn("Eviction", policy, durability.EVICTS)
    used, most = int(info["used_memory"]), int(info.get("maxmemory", 0))
    said = f"{size(used)} used" + (f" of {size(most)}" if most else ", no maxmemory")
    if most and used >= most * room.FULL:
        do = "Raise maxmemory, or see which handler can't follow. Events go to the spool, or are refused."
        yield fail("Redis memory", said, do)
    elif most and used > most * room.NEARLY:
        yield warn("Redis memory", said, "Raise maxmemory, or lower RECEIVER_RETENTION.")
    else:
        yield ok("Redis memory", said)


async def _log(client: Client, info: Mapping[str, Any]) -> list[Finding]:
    if not durability.has_log(info):
        return [warn("Appendonly", "off", durability.FORGETS)]
    try:
        [fsync] = (await client.config_get("appendfsync")).values()
        said = fsync.decode() if isinstance(fsync, bytes) else str(fsync)
    except (RedisError, ValueError):
        return [ok("Appendonly", "on; appendfsync can't be asked for")]
    if said == "no":
        do = "Set appendfsync everysec, or always: a crash of the machine loses what isn't on disk."
        return [warn("Appendonly", "on, appendfsync no", do)]
    return [ok("Appendonly", f"on, appendfsync {said}")]
