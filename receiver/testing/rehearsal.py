"""A stage for the contract: attempts are cut off, and outside calls fail, at any point that is chosen."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any

from receiver.testing.calls import Call
from receiver.testing.faults import Fault
from receiver.testing.outcome import Run
from receiver.testing.stage import Stage

_SAME_AGAIN = ("/invite", "/channels", "/block", "/mark_as_read", "/metadata")
"""POSTs that change nothing the second time."""

Effects = Counter[str]
"""What was done outside, and how often."""


class Rehearsal(Stage):
    """A stage on which something goes wrong once.

    `cut_at` is the number of the await at which an attempt is cut off; `fail_at` that of the outside call
    that fails with `fault`. Both count from 1 over all attempts; `awaits` and `outside` tell how many
    there were.
    """

    cut_at: int | None = None
    fail_at: int | None = None
    fault: Fault | None = None
    awaits = 0
    outside = 0

    def fails_at(self, number: int, fault: Fault) -> None:
        """Make an outside call fail."""
        self.fail_at, self.fault, self.outside = number, fault, 0
        self.faults.watch = self._next_call

    def _next_call(self, side: str) -> Fault | None:
        self.outside += 1
        if self.outside != self.fail_at:
            return None
        if side == "mail" and self.fault is not None and self.fault.how == "answers":
            return Fault("answers", 451)  # what 503 is elsewhere: for mail servers, that is for good
        return self.fault

    async def _drive(self, attempt: Coroutine[Any, Any, Run]) -> Run | None:
        task = asyncio.create_task(attempt)
        self._around.watch = lambda work: _Counted(work, lambda: self._reached(task))
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelling() and self.cut_at is not None and self.awaits >= self.cut_at:
                return None
            raise

    def _reached(self, attempt: asyncio.Task[Run]) -> None:
        self.awaits += 1
        if self.awaits == self.cut_at:
            attempt.cancel()


class _Counted:
    """Awaits a coroutine, and calls `reached` at each point at which it waits for something."""

    def __init__(self, work: Coroutine[Any, Any, None], reached: Callable[[], None]) -> None:
        self._work = work
        self._reached = reached

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._work.__await__()
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                waits_for = steps.send(value) if error is None else steps.throw(error)
            except StopIteration:
                return
            self._reached()
            value, error = None, None
            try:
                value = yield waits_for
            except BaseException as thrown:
                error = thrown


def effects_of(runs: Iterable[Run]) -> Effects:
    """Return what was done outside that would be noticed if it were done twice."""
    found: Effects = Counter()
    for run in runs:
        found.update(_name(call) for call in run.calls if _is_noticed(call))
        found.update(f"the mail {mail.subject!r} to {mail.to}" for mail in run.mails)
    return found


def _is_noticed(call: Call) -> bool:
    return call.effect == "new" and call.method == "POST" and not call.path.endswith(_SAME_AGAIN)


def _name(call: Call) -> str:
    where = call.body.get("channel_url") or call.path
    said = call.body.get("message")
    return (
        f"{call.method} {call.path} ({where}: {str(said)[:60]!r})"
        if said is not None
        else f"{call.method} {call.path}"
    )
