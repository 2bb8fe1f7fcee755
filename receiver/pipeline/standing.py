"""How things stand: what the lanes hold, and since when; what the dispatcher hasn't been past."""

from __future__ import annotations

from dataclasses import dataclass

from receiver.pipeline import keys
from receiver.pipeline.connection import Client

LOOKED_AT = 1000
"""Held conversations of a lane that are looked at: those that may go on first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What one lane holds: how many events, and since when the oldest is stored (ms); None without any."""

    lane: str
    events: int
    oldest: int | None


async def lanes(client: Client) -> list[Standing]:
    """Return how each lane stands that holds something, or waits for a batch."""
    states = await client.hgetall(keys.LANES)
    names = sorted(name.decode() for name, state in states.items() if state != b"lingering")
    return [await _lane(client, name) for name in names]


async def _lane(client: Client, name: str) -> Standing:
    pipeline = client.pipeline(transaction=False)
    pipeline.llen(keys.lane(name, "queue"))
    pipeline.lindex(keys.lane(name, "queue"), 0)
    pipeline.smembers(keys.lane(name, "taken"))
    pipeline.zrange(keys.lane(name, "held"), 0, LOOKED_AT - 1)
    queued, first, taken, held = await pipeline.execute()
    for conversation in held:
        parked = keys.lane(name, f"parked:{conversation.decode()}")
        pipeline.llen(parked)
        pipeline.lindex(parked, 0)
    answers = await pipeline.execute() if held else []
    heads = [one for one in (first, *taken, *answers[1::2]) if one is not None]
    oldest = min((_time_of(entry) for entry in heads), default=None)
    return Standing(name, queued + len(taken) + sum(answers[::2]), oldest)


async def oldest_undispatched(client: Client) -> int | None:
    """Return since when (ms) the oldest event waits that the dispatcher hasn't been past; None without."""
    cursor = await client.get(keys.CURSOR)
    low = "-" if cursor is None else f"({cursor.decode()}"
    found = await client.xrange(keys.INBOX, min=low, count=1)
    return _time_of(found[0][0]) if found else None


def _time_of(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])
