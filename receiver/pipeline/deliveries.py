"""Deliveries: what became of one event at one handler. (`histories.py` reads all that is known of them.)

One that ends in its first attempt, as nearly all do, is recorded in `finished.py`. Of the others, the hash
`receiver:event:<entry>` holds, for each handler, a state (`<status> <attempts> <failures>`)
under the handler's name and one JSON record per attempt under `<handler> <number>`; effects guarded
by `once` stand under `<handler> once <key>`, calls of `gather` and `cancel` that counted under
`<handler> call <number>`; `repeats` names the entry that a duplicate repeats; `cancelled` the newest
entry that has cancelled a closed batch.

Attempts and failures differ where a worker died: every event it had may have begun, so the attempt
counts; but only an event that it had alone is to blame, so only there it counts as a failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson

from receiver.events.parsing import storable

Status = Literal["waiting", "retrying", "done", "dead", "skipped"]
Outcome = Literal["done", "failed", "timed out", "cut off", "asked to wait"]

LONGEST_ERROR = 2_000
LONGEST_TRACEBACK = 20_000
"""Characters that are kept: of an error the beginning, of a traceback the end."""

_ATTEMPT = re.compile(r"(.+) (\d+)")
ONCE = " once "
CALL = " call "
CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a handler on an event. `ended` and `took` are in milliseconds."""

    number: int
    ended: int
    outcome: Outcome
    took: float | None = None
    worker: str | None = None
    error: str | None = None
    traceback: str | None = None

    def to_json(self) -> bytes:
        """Return the record that is stored; the number is the field's."""
        values: dict[str, Any] = {"ended": self.ended, "outcome": self.outcome}
        if self.took is not None:
            values["took"] = self.took
        if self.worker is not None:
            values["worker"] = self.worker
        if self.error is not None:
            values["error"] = storable(self.error[:LONGEST_ERROR])
        if self.traceback is not None:
            values["traceback"] = storable(self.traceback[-LONGEST_TRACEBACK:])
        return orjson.dumps(values)

    @classmethod
    def from_json(cls, number: int, record: bytes) -> Attempt:
        """Read a stored record."""
        return cls(number=number, **orjson.loads(record))


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one handler, with every attempt so far."""

    handler: str
    status: Status
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class History:
    """All that happened to one event: its deliveries, or the entry it repeats.

    A batch is `cancelled` where an event has dropped those of its events that were accepted before it.
    """

    deliveries: tuple[Delivery, ...]
    repeats: str | None = None
    cancelled: bool = False


def counts(state: bytes) -> tuple[int, int]:
    """Return the attempts and the failures in a state such as `retrying 2 1`."""
    if state == b"waiting 0 0":  # as nearly all are
        return 0, 0
    _, attempts, failures = state.split(b" ")
    return int(attempts), int(failures)


def read(stored: dict[bytes, bytes]) -> History:
    """Make sense of the hash of one event."""
    attempts: dict[str, list[Attempt]] = {}
    states: dict[str, Status] = {}
    repeats: str | None = None
    cancelled = False
    for raw_name, value in stored.items():
        name = raw_name.decode()
        if ONCE in name or CALL in name:
            continue
        if match := _ATTEMPT.fullmatch(name):
            attempts.setdefault(match[1], []).append(Attempt.from_json(int(match[2]), value))
        elif name == "repeats":
            repeats = value.decode()
        elif name == CANCELLED:
            cancelled = True
        else:
            states[name] = cast(Status, value.partition(b" ")[0].decode())
    deliveries = (
        Delivery(handler, status, tuple(sorted(attempts.get(handler, ()), key=lambda one: one.number)))
        for handler, status in sorted(states.items())
    )
    return History(tuple(deliveries), repeats, cancelled)
