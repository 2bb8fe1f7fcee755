"""What would be said again and again is said once a minute."""

from __future__ import annotations

import time

EVERY = 60.0
"""Seconds."""


class Seldom:
    """Says when it is time to say something, for each name: at most once in `EVERY` seconds."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        """Return how many times there was something to say of `name`, if now is the time; else 0."""
        now = time.monotonic()
        times = self._times.get(name, 0) + 1
        if now - self._said.get(name, -EVERY) < EVERY:
            self._times[name] = times
            return 0
        self._said[name] = now
        self._times[name] = 0
        return times
