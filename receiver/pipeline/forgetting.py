"""Forgetting a handler: a renamed or removed one would otherwise collect events for ever.

The history of its deliveries and its dead letters stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from receiver.pipeline import keys
from receiver.pipeline.connection import Client, Script

_FORGET = Script("forget")


@dataclass(frozen=True, slots=True)
class Left:
    """What Redis holds of a handler: whether anything, how many deliveries wait, and a lane that runs."""

    known: bool
    waiting: int
    running: str


async def look(client: Client, handler: str) -> Left:
    """Tell what would be forgotten."""
    return await _run(client, handler, "")


async def forget(client: Client, handler: str) -> Left:
    """Drop the route, and skip what waits; return what was dropped. While a lane runs, nothing is.

    A dispatcher goes by the routes that it has read, for a moment longer: what it still brings is
    dropped by calling this again.
    """
    return await _run(client, handler, "1")


async def _run(client: Client, handler: str, drop: str) -> Left:
    names = [keys.ROUTES, keys.LANES, keys.STATS]
    known, waiting, running = await _FORGET.run(client, names, [keys.PREFIX, handler, drop])
    return Left(bool(known), waiting, running.decode())
