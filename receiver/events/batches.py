"""A batch: events that were gathered under one key (see `receiver.collect`)."""

from __future__ import annotations

from typing import Generic

from typing_extensions import TypeVar

from receiver.events.envelope import Envelope
from receiver.events.event import Event
from receiver.events.fields import items, text

COLLECTED = "receiver:batch"
"""The category of batches. Sendbird's begin otherwise; handlers of "*" don't get them."""

Gathered = TypeVar("Gathered", bound=Event, default=Event)


class Batch(Event, Generic[Gathered]):
    """Events that were gathered under `key`, in the order they were accepted.

    It is an event itself: its `id` is the same one on every attempt, its `received_at` is when it closed.
    """

    def __init__(self, envelope: Envelope, events: tuple[Gathered, ...] = ()) -> None:
        super().__init__(envelope)
        self.events = events

    @property
    def key(self) -> str:
        """The key under which the events were gathered."""
        return text(self.raw.get("key"))

    @property
    def entries(self) -> tuple[str, ...]:
        """The inbox entries of the events."""
        return tuple(entry for entry in items(self.raw.get("events")) if isinstance(entry, str))
