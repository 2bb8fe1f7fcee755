"""What goes wrong outside: the next calls that fail, and how."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

How = Literal["answers", "is away", "loses the answer"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One failing call. `status` and `code` are what is answered.

    "is away": no connection. "loses the answer": it was done, and nobody is told.
    """

    how: How
    status: int = 503
    code: int = 0


class Faults:
    """Decides which outside calls fail; the calls to Sendbird and the mails are counted together."""

    def __init__(self) -> None:
        self._planned: dict[str, deque[Fault]] = {"sendbird": deque(), "mail": deque()}
        self.watch: Callable[[str], Fault | None] = lambda side: None
        """Called with each call's side ("sendbird" or "mail"); may make it fail."""

    def plan(self, side: str, fault: Fault, times: int) -> None:
        """Make the next `times` calls of a side fail."""
        self._planned[side].extend([fault] * times)

    def next(self, side: str) -> Fault | None:
        """Return how a call that is made now fails, or None."""
        planned = self._planned[side]
        return planned.popleft() if planned else self.watch(side)


def fault(status: int, code: int, *, away: bool, lost: bool) -> Fault:
    """Return the fault that is described."""
    if away and lost:
        raise ValueError("a call fails either way, not both: away=True is no connection, lost=True no answer")
    return Fault("is away" if away else "loses the answer" if lost else "answers", status, code)
