"""What came of an event: which handlers ran, how they ended, and what they did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from receiver.events import Event
from receiver.testing.assertions import Assertions
from receiver.testing.calls import Call, Reply
from receiver.testing.mails import SentMail

Status = Literal["done", "skipped", "asked to wait", "failed", "dead", "waiting", "cut off"]
"""done; skipped (`where` said no); asked to wait, failed or cut off: there is another attempt; dead: there
is none; waiting: an earlier event of the conversation holds it back."""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt of one handler."""

    handler: str
    event: Event
    attempt: int
    status: Status
    calls: tuple[Call, ...] = ()
    mails: tuple[SentMail, ...] = ()
    log: tuple[Mapping[str, Any], ...] = ()
    error: BaseException | None = None
    wait: float | None = None
    """Seconds until the next attempt, if there is one."""

    @property
    def replies(self) -> list[Reply]:
        """What it posted as a bot. A repeat that Sendbird knew by its `dedup_id` doesn't count."""
        return [reply for call in self.calls if (reply := Reply.of(call)) is not None]

    def __str__(self) -> str:
        said = [f"{self.handler}: {self.status}"]
        if self.attempt > 1:
            said.append(f"in attempt {self.attempt}")
        if self.error is not None:
            said.append(f"({type(self.error).__name__}: {self.error})")
        did = [f"replied {str(reply)!r} as {reply.bot}" for reply in self.replies]
        did += [f"mailed {mail.subject!r} to {mail.to}" for mail in self.mails]
        did += [
            f"called {call.method} {call.path}: {call.status}" for call in self.calls if not Reply.of(call)
        ]
        return "; ".join([" ".join(said), *did])


@dataclass(frozen=True, slots=True)
class Outcome(Assertions):
    """What came of one event, or of a turn of the clock. Everything is in the order in which it happened.

    `states` is what handlers remember of the event's conversation, by their names. `is_repeat`: Sendbird
    had sent the same thing before, so no handler ran.
    """

    runs: tuple[Run, ...] = ()
    event: Event | None = None
    is_repeat: bool = False
    waiting: Mapping[str, Status] = field(default_factory=dict)
    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    why_not: str = ""
    """Where no handler ran: why."""

    @property
    def replies(self) -> list[Reply]:
        """What was posted by bots: strings, with `bot`, `channel` and `dedup_id`."""
        return [reply for run in self.runs for reply in run.replies]

    @property
    def mails(self) -> list[SentMail]:
        """The mails that were sent."""
        return [mail for run in self.runs for mail in run.mails]

    @property
    def calls(self) -> list[Call]:
        """Every call of Sendbird's API, replies and failed ones among them."""
        return [call for run in self.runs for call in run.calls]

    @property
    def log(self) -> list[Mapping[str, Any]]:
        """What was written with `context.log`: `{"event": ..., "level": ..., ...}`."""
        return [entry for run in self.runs for entry in run.log]

    @property
    def status(self) -> dict[str, Status]:
        """How it stands with each handler that the event reached."""
        return {**self.waiting, **{run.handler: run.status for run in self.runs}}

    @property
    def error(self) -> BaseException | None:
        """The first error of a handler, succeeded it later or not; or None. To ask for a wait is no error."""
        return self._first_error("failed", "dead")

    @property
    def state(self) -> Mapping[str, Any]:
        """What the handler remembers of the conversation. Where several do, ask `states`."""
        if len(self.states) > 1:
            raise LookupError(
                f"several handlers remember something, see outcome.states: {', '.join(self.states)}"
            )
        return next(iter(self.states.values()), {})

    def raise_for_error(self) -> None:
        """Raise the first error of a handler, as the handler raised it.

        Of a turn of the clock, only that of a handler which has given up: time mends what failed.
        """
        error = self.error if self.event is not None else self._first_error("dead")
        if error is not None:
            raise error

    def _first_error(self, *statuses: Status) -> BaseException | None:
        errors = (run.error for run in self.runs if run.status in statuses)
        return next((error for error in errors if error is not None), None)

    def __str__(self) -> str:
        about = f"{self.event.category}" if self.event is not None else "the clock was turned"
        ran = {run.handler for run in self.runs}
        held = [f"{name}: {status}" for name, status in self.waiting.items() if name not in ran]
        lines = [*map(str, self.runs), *held] or [self.why_not or "nothing ran"]
        return "\n  ".join([about, *lines])
