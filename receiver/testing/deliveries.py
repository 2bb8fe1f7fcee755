"""The deliveries of a stage: which event is for which handler, in order, and when it is tried (again)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from receiver.events import Envelope
from receiver.events.batches import COLLECTED
from receiver.events.catalogue import open_event
from receiver.events.envelope import BATCH
from receiver.intake import new_id
from receiver.pipeline import keys
from receiver.pipeline.attempts import Verdict
from receiver.pipeline.lanes import Taken
from receiver.plugins import Handler
from receiver.sendbird import wire
from receiver.testing.attempts import Notes, StageAttempts, Surroundings
from receiver.testing.clock import Clock
from receiver.testing.gathering import Accepted
from receiver.testing.outcome import Run, Status

Lane = tuple[str, str]
"""A handler's name and a conversation: what runs in order."""

_ASKED = "asked to wait"


@dataclass(slots=True)
class Delivery:
    """One event for one handler. `due` is when it is tried (again), in ms."""

    handler: Handler
    accepted: Accepted
    gathered: list[Accepted] = field(default_factory=list)
    attempts: int = 0
    failures: int = 0
    due: float = 0.0
    status: Status = "waiting"
    before: bytes = b""
    """The handler's state before the delivery, as JSON."""
    notes: Notes = field(default_factory=Notes)
    """What its last attempt did."""

    @property
    def lane(self) -> Lane:
        """Where it stands in line."""
        if self.handler.order is None:
            return (self.handler.name, self.accepted.entry)
        return (self.handler.name, self.accepted.envelope.conversation)

    @property
    def state_key(self) -> str:
        """Where the state of its conversation is kept."""
        return keys.state(self.handler.name, self.accepted.envelope.conversation)


class Lanes:
    """Every delivery that isn't over, the first of each lane being next."""

    def __init__(self, clock: Clock, around: Surroundings) -> None:
        self._clock = clock
        self._around = around
        self._lanes: dict[Lane, deque[Delivery]] = {}
        self._last_writer: dict[str, Delivery] = {}
        self.begins: Callable[[Notes], None] = lambda notes: None

    def add(self, delivery: Delivery, *, first: bool = False) -> None:
        """Put a delivery in its line."""
        lane = self._lanes.setdefault(delivery.lane, deque())
        (lane.appendleft if first else lane.append)(delivery)

    def ready(self) -> Delivery | None:
        """Return the delivery to try now, or None: the one that was accepted first."""
        now = self._clock.milliseconds
        heads = [lane[0] for lane in self._lanes.values() if lane and lane[0].due <= now]
        return min(heads, key=lambda one: one.accepted.number, default=None)

    def next_due(self) -> float | None:
        """Return when the next delivery is tried (ms), or None."""
        return min((lane[0].due for lane in self._lanes.values() if lane), default=None)

    def waiting(self, accepted: Accepted) -> dict[str, Status]:
        """Return how it stands with the deliveries of an event that are not over."""
        lanes = (lane for lane in self._lanes.values())
        found = [one for lane in lanes for one in lane if one.accepted.number == accepted.number]
        return {one.handler.name: one.status for one in found}

    def states(self, handlers: Iterable[str], conversations: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return what handlers remember of conversations, by the handlers' names."""
        kept = self._around.kept.strings
        found = ((name, kept.get(keys.state(name, one))) for name in handlers for one in conversations)
        return {name: orjson.loads(stored) for name, stored in found if stored}

    def remembers(self, delivery: Delivery, state: bytes) -> None:
        """Keep a handler's state of a conversation."""
        self._around.kept.strings[delivery.state_key] = state
        self._last_writer[delivery.state_key] = delivery

    def undo_state(self, delivery: Delivery) -> None:
        """Forget what a delivery made its handler remember, unless a later one has remembered since."""
        if self._last_writer.get(delivery.state_key) is delivery:
            self._around.kept.strings[delivery.state_key] = delivery.before

    async def run(self, delivery: Delivery) -> Run:
        """Run the next attempt of the first delivery of a lane, and take note of how it ended.

        Raises:
            CancelledError: the attempt is cut off; the delivery stays where it is.
        """
        attempts = StageAttempts(delivery.handler, self._around, delivery.accepted, delivery.gathered)
        envelope = delivery.accepted.envelope
        taken = Taken(delivery.accepted.entry, delivery.attempts, delivery.failures, envelope)
        delivery.before = self._around.kept.strings.get(delivery.state_key, b"")
        delivery.attempts += 1
        delivery.notes = attempts.notes
        self.begins(attempts.notes)
        verdict = await attempts.run(taken)
        if verdict.state is not None:
            self.remembers(delivery, verdict.state)
        return self._end(delivery, verdict)

    def cut_off(self, delivery: Delivery) -> Run:
        """Return the attempt of a delivery that was cut off."""
        return _run(delivery, "cut off")

    def _end(self, delivery: Delivery, verdict: Verdict) -> Run:
        status: Status
        if verdict.status == "retrying":
            asked = verdict.attempt is not None and verdict.attempt.outcome == _ASKED
            status = "asked to wait" if asked else "failed"
            delivery.failures += 1
            delivery.due = self._clock.milliseconds + verdict.wait * 1000
        else:
            status = (
                "dead" if verdict.status == "dead" else "skipped" if verdict.status == "skipped" else "done"
            )
            self._lanes[delivery.lane].remove(delivery)
        delivery.status = status
        if verdict.attempt is None and status != "done":
            delivery.attempts -= 1
        return _run(delivery, status, wait=verdict.wait if verdict.status == "retrying" else None)


def _run(delivery: Delivery, status: Status, wait: float | None = None) -> Run:
    notes = delivery.notes
    return Run(
        handler=delivery.handler.name,
        event=notes.event or open_event(delivery.accepted.envelope),
        attempt=delivery.attempts,
        status=status,
        calls=tuple(notes.calls),
        mails=tuple(notes.mails),
        log=tuple(notes.log),
        error=notes.error,
        wait=wait,
    )


def batch_envelope(handler: str, key: str, gathered: Iterable[Accepted], now: int) -> Envelope:
    """Return the envelope of a batch that closes `now` (ms)."""
    body: dict[str, Any] = {"category": COLLECTED, "key": key, "handler": handler}
    body["events"] = [one.entry for one in gathered]
    return Envelope(new_id(now), BATCH, COLLECTED, key, "", now, wire.encode(body))


def renewed(envelope: Envelope) -> Envelope:
    """Return an envelope of the same request, received once more."""
    event_id = new_id(envelope.received)
    conversation = event_id if envelope.conversation == envelope.id else envelope.conversation
    return envelope._replace(id=event_id, conversation=conversation)
