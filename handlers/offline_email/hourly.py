"""Saying a thing once an hour: what is wrong with the set-up is wrong with every event."""

from __future__ import annotations

import time
from collections.abc import Callable

HOUR = 3600.0


class Hourly:
    """Remembers what was said in the last hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def is_due(self, what: str) -> bool:
        """Tell whether `what` was not said within the last hour; from now on, it was."""
        now = self._clock()
        if now - self._said.get(what, -HOUR) < HOUR:
            return False
        self._said[what] = now
        return True
