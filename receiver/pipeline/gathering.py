"""Gathering: events wait under keys, in the lanes of the handler that gets them as batches.

A key's gathered events lie in the key's lane. Its batch closes in a drain of that lane (`close.lua`), which
is woken, as for a retry, at the time at which the first of the lane's batches closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import redis

from receiver.collect import Collect, Window
from receiver.events.parsing import storable
from receiver.pipeline import jobs, keys
from receiver.pipeline.connection import Client, Script
from receiver.pipeline.routes import lane_of

AT_ONCE = 1000
"""Keys of one script, in whichever lanes: Redis does nothing else meanwhile. More go lane by lane."""

_GATHER = Script("gather")
_CANCEL = Script("cancel")


def limits(window: Window) -> tuple[int, int, int]:
    """Return what the scripts need to know of `window`: quiet and longest (ms), and most."""
    return round(window.quiet * 1000), round(window.longest * 1000), window.most


async def gather(
    client: Client, blocking: redis.Redis, collect: Collect, names: Sequence[str], *, entry: str, guard: str
) -> None:
    """Gather the event at `entry` under the keys `names`, unless `guard` is on record with it.

    A lane that isn't woken, because this process dies, is found by the reaper.
    """
    woken: list[tuple[str, float]] = []
    for part, pairs in _parts(collect, names):
        told = await _GATHER.run(
            client,
            [keys.LANES, keys.INBOX],
            [keys.PREFIX, entry, f"{guard} {part}", *limits(collect.window), keys.BLOCKED, *pairs],
        )
        woken += [(lane.decode(), due) for lane, due in told]
    if woken:
        await asyncio.to_thread(_wake, blocking, woken)


async def cancel(
    client: Client,
    collect: Collect,
    names: Sequence[str],
    conversation: str | None,
    *,
    entry: str,
    guard: str,
) -> None:
    """Drop what is gathered under the keys `names` and older than `entry`, unless `guard` is on record."""
    which = ["", ""] if conversation is None else ["1", storable(conversation)]
    for part, pairs in _parts(collect, names):
        await _CANCEL.run(
            client, [keys.LANES, keys.INBOX], [keys.PREFIX, entry, f"{guard} {part}", *which, *pairs]
        )


def _parts(collect: Collect, names: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """Return flat lists of lanes and keys, with the keys of a lane together, each under a name.

    Many keys are parted by lane: a key is in the same part in every attempt, whatever the others are.
    """
    pairs = sorted((lane_of(collect.handler, name), name) for name in map(storable, names))
    if len(pairs) <= AT_ONCE:
        return [("0", [part for pair in pairs for part in pair])]
    lanes = groupby(pairs, lambda pair: pair[0])
    return [(lane, [part for pair in some for part in pair]) for lane, some in lanes]


def _wake(blocking: redis.Redis, woken: list[tuple[str, float]]) -> None:
    jobs.wake(blocking, [lane for lane, due in woken if not due])
    for lane, due in woken:
        if due:
            jobs.wake_at(blocking, lane, due)
