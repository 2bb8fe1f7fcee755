"""The pulse of a worker: its loop beats, and who watches knows whether it stands still.

The pulse lies in memory that the worker shares with its pool: code that holds Python's lock for good stops
every thread of the worker, also one that would watch from inside.
"""

from __future__ import annotations

import mmap
import time

LONGEST_STEP = 2.0
"""Seconds that count between two looks. Whoever was frozen meanwhile can't tell how the other one fared."""


class Pulse:
    """A counter that a worker's loop moves."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    def beat(self) -> None:
        """Tell that the loop runs."""
        self._memory[:8] = (self.beats + 1).to_bytes(8, "little")

    @property
    def beats(self) -> int:
        """How often it has beaten."""
        return int.from_bytes(self._memory[:8], "little")


class Stillness:
    """How long a pulse has stood still, by looking at it now and then."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._beats = pulse.beats
        self._looked = time.monotonic()
        self.seconds = 0.0

    def look(self) -> float:
        """Return the seconds for which it has stood still, as far as one was there to see it."""
        now = time.monotonic()
        step = min(now - self._looked, LONGEST_STEP)
        self._looked = now
        beats = self._pulse.beats
        self.seconds = self.seconds + step if beats == self._beats else 0.0
        self._beats = beats
        return self.seconds
