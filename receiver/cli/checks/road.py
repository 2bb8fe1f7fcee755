"""Do events go their road: inbox, dispatcher, lanes, dead letters?"""

from __future__ import annotations

import asyncio
from collections import Counter

import redis

from receiver.cli.checks.finding import Finding, ago, fail, ok, warn
from receiver.pipeline import dead_letters, keys, standing
from receiver.pipeline.connection import Client
from receiver.pipeline.reaper import GRACE, Reaper

LATE = 10_000
"""Milliseconds after which an event should have been dispatched."""
OLD = 600_000
"""Milliseconds after which an unfinished event is worth a look."""
NAMED = 3


async def check(client: Client, blocking: redis.Redis, limit: int) -> list[Finding]:
    """Look at everything between intake and the handlers. `limit` is the inbox's."""
    seconds, microseconds = await client.time()
    now = seconds * 1000 + microseconds // 1000
    return [
        await _inbox(client, limit),
        await _dispatcher(client, now),
        *await _lanes(client, blocking, now),
        await _letters(client, now),
    ]


async def _inbox(client: Client, limit: int) -> Finding:
    length = int(await client.xlen(keys.INBOX))
    said = f"{length} events" + (f" of {limit} at the most" if limit else ", no limit")
    if limit and length >= limit:
        do = "Requests are refused. See below what lags; or raise RECEIVER_INBOX_LIMIT."
        return fail("Inbox", said, do)
    if limit and length > 0.9 * limit:
        return warn("Inbox", said, "See below what lags: what is unfinished fills it.")
    return ok("Inbox", said)


async def _dispatcher(client: Client, now: int) -> Finding:
    leader = await client.get(keys.LEASE)
    waiting = await standing.oldest_undispatched(client)
    lag = "" if waiting is None else f"; the oldest undispatched event waits for {ago(now - waiting)}"
    if leader is None:
        return fail("Dispatcher", f"none leads{lag}", "Start `receiver work`: each brings one.")
    host, _, process = leader.decode().rpartition(":")[0].rpartition(":")
    said = f"leads at {host}, process {process}{lag}"
    if waiting is not None and now - waiting > LATE:
        do = "If it lasts: look at its log. Without any handler, events wait for the first one."
        return warn("Dispatcher", said, do)
    return ok("Dispatcher", said)


async def _lanes(client: Client, blocking: redis.Redis, now: int) -> list[Finding]:
    found = [one for one in await standing.lanes(client) if one.oldest is not None]
    if not found:
        return [ok("Lanes", "empty: nothing is unfinished")]
    oldest = sorted(found, key=lambda one: one.oldest or 0)
    said = f"{sum(one.events for one in found)} deliveries unfinished in {len(found)} lanes: " + ", ".join(
        f"{one.lane} {one.events} since {ago(now - (one.oldest or now))}" for one in oldest[:NAMED]
    )
    findings = [
        warn("Lanes", said, "See `receiver events` for what fails; more `receiver work` for what is slow.")
        if now - (oldest[0].oldest or now) > OLD
        else ok("Lanes", said)
    ]
    reaper = Reaper(client, blocking)
    forsaken = set(await reaper.forsaken())
    if forsaken:  # their jobs may just be on their way
        await asyncio.sleep(GRACE)
        forsaken &= set(await reaper.forsaken())
    if forsaken:
        do = "The dispatcher's reaper wakes them within seconds. If not, no dispatcher leads."
        findings.append(warn("Lanes without a job", ", ".join(sorted(forsaken)), do))
    return findings


async def _letters(client: Client, now: int) -> Finding:
    found = await client.zrange(keys.DEAD, 0, 9999, withscores=True)
    if not found:
        return ok("Dead letters", "none")
    names, oldest = [name for name, _ in found], int(found[0][1])
    count = await dead_letters.count(client)
    by_handler = Counter(name.decode().partition(" ")[2] for name in names)
    said = ", ".join(f"{handler} {number}" for handler, number in by_handler.most_common(NAMED))
    do = "receiver dead-letters list; then retry or discard them."
    return warn("Dead letters", f"{count}, the oldest for {ago(now - oldest)}: {said}", do)
