"""How often something may be done: so many times at once, and then once in so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable


class Allowance:
    """Lets `most` through at once, and one more in `every` seconds after that."""

    __slots__ = ("_clock", "_counted", "_every", "_left", "_most")

    def __init__(self, most: float, every: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._every = every
        self._clock = clock
        self._left = most
        self._counted = clock()

    @property
    def is_whole(self) -> bool:
        """Whether it is as if nobody had used it."""
        self._count()
        return self._left >= self._most

    def wait(self) -> float:
        """Return how many seconds there are until one more may pass; 0 if it may now."""
        self._count()
        return max(0.0, (1 - self._left) * self._every)

    def use(self) -> None:
        """Count one that passes, whether it may or not."""
        self._count()
        self._left -= 1

    def take(self) -> bool:
        """Tell whether one more may pass; if so, count it."""
        if self.wait():
            return False
        self.use()
        return True

    def _count(self) -> None:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._counted) / self._every)
        self._counted = now
