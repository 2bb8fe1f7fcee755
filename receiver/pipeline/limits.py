"""A time limit that holds: what doesn't end when its time is over is left behind, and goes on as a stray.

A task that swallows its cancellation, and a thread, can't be ended from outside. They must not keep their
conversation, their lane or their worker waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

ENDS_WITHIN = 5.0
"""Seconds that cancelled work has to end before it is left behind."""
MOST_STRAYS = 100
"""Strays that a process bears. Each holds memory, and perhaps one of the threads."""


class Strays:
    """What goes on in this process though nobody waits for it. `full` is called when there are too many."""

    def __init__(self, full: Callable[[int], None] | None = None) -> None:
        self._full = full
        self._strays: set[object] = set()

    def __len__(self) -> int:
        return len(self._strays)

    def add(self, stray: object) -> None:
        """Count one more."""
        self._strays.add(stray)
        if self._full is not None and len(self._strays) >= MOST_STRAYS:
            self._full(len(self._strays))

    def discard(self, stray: object) -> None:
        """It has ended after all."""
        self._strays.discard(stray)


class Limited:
    """Work in a task of its own, begun now, with `seconds` to end.

    Whatever it raises is its `error`: also a SystemExit, which would end the loop. `expired` tells whether
    its time was over before it ended.
    """

    __slots__ = ("_ended", "_task", "_timer", "error", "expired")

    def __init__(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.expired = False
        self.error: BaseException | None = None
        self._ended: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._run(work))
        self._task.add_done_callback(self._tell)
        self._timer = loop.call_later(seconds, self._expire)

    @property
    def runs(self) -> bool:
        """Whether the work goes on."""
        return not self._task.done()

    async def end(self) -> None:
        """Wait until it has ended, or is left behind.

        Raises:
            CancelledError: the caller is cancelled; the work was cancelled with it, and had time to end.
        """
        try:
            await self._ended
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=ENDS_WITHIN)
            raise
        finally:
            self._timer.cancel()

    def when_ended(self, call: Callable[[], Any]) -> None:
        """Have `call` called when the work ends after all."""
        self._task.add_done_callback(lambda _: call())

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BaseException as error:
            self.error = error

    def _expire(self) -> None:
        if self.runs:
            self.expired = True
            self._task.cancel()
            self._timer = asyncio.get_running_loop().call_later(ENDS_WITHIN, self._tell)

    def _tell(self, *_: object) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
