"""The pace of a drain: when it takes its next turn, and how much of one conversation it takes.

A turn costs as much as some ten events, and a new drain as much as some hundred. So turns that bring little
keep a distance, a longer one where the machine is busy, and a drain lingers at its empty lane until the bell
rings.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

DISTANCE = 0.01
"""Seconds between turns that bring little."""
BUSY = 4.0
FARTHEST = 0.02
"""Where a turn takes long, all are busy: the next one is so many times as far away, up to these seconds."""
FULL = 64
"""Events in a turn from which on the next one follows at once."""
RENEWS = 2.0
"""Seconds after which a drain that takes no turn renews its lease: before the roll call takes it for gone."""
LINGER = 1.0
"""Seconds that a drain waits at its empty lane."""
SHARE = 16
"""Events of one conversation that a drain has at once: a busy channel must not fill the window."""
MOST = 128
"""The same, where handlers are so quick that all of a turn's events have ended before the next turn."""


def distance(took: float) -> float:
    """Return how far away the next turn is, in seconds, after one that `took` so many and brought little."""
    return min(FARTHEST, BUSY * took)


class Pace:
    """The pace of one drain. Where it is `alone`, others wait for its end: it takes its time for nothing."""

    def __init__(self, *, alone: bool) -> None:
        self.share = SHARE // 2
        self._alone = alone
        self._next_turn = self._began = 0.0
        self._bell = asyncio.Event()

    @property
    def early(self) -> float:
        """Seconds until the next turn; 0 or less where it is due."""
        return self._next_turn - time.monotonic()

    def begin_turn(self, *, idle: bool) -> None:
        """A turn begins. `idle`: nothing of what was taken is left."""
        self.share = min(2 * self.share, MOST) if idle else SHARE
        self._bell.clear()
        self._began = time.monotonic()
        if not self._alone:
            self._next_turn = self._began + DISTANCE

    def end_turn(self, events: int) -> None:
        """A turn has brought so many events."""
        if events >= FULL:
            self.hurry()
        elif self._next_turn:  # nobody is in a hurry
            self._next_turn = self._began + max(DISTANCE, distance(time.monotonic() - self._began))

    def hurry(self) -> None:
        """The next turn is due at once."""
        self._next_turn = 0.0

    def ring(self) -> None:
        """Something has come, or something else is to be done now."""
        self._bell.set()

    async def linger(self) -> bool:
        """Wait for the bell; tell whether it has rung since the last turn began."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._bell.wait()
        self.hurry()
        return self._bell.is_set()
