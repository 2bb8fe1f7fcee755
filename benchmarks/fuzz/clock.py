"""An event loop without a world outside: no sockets, and a clock that jumps to the next timer.

So what a connection does in a minute is seen at once, and a wait that would never end is found out.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any


class Stuck(Exception):
    """Something waits for what can't come."""


class _Nothing(selectors.BaseSelector):
    """Selects nothing, and lets the clock pass instead of waiting."""

    def __init__(self, passes: Callable[[float], None]) -> None:
        self._passes = passes
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._keys[fileobj] = selectors.SelectorKey(fileobj, -1, events, data)
        return self._keys[fileobj]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        if timeout > 0:
            self._passes(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class Loop(asyncio.SelectorEventLoop):
    """The event loop."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Nothing(self._pass))
        self._clock_resolution = 0.001  # after many inputs it is so late that floats know no nanoseconds

    def _pass(self, seconds: float) -> None:
        self._now += seconds

    def time(self) -> float:
        return self._now
