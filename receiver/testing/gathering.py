"""Gathering in memory: what `receiver.pipeline` does in Redis, by the same rules, on the stage's clock.

tests/testing/test_gathering.py runs the same scenarios on both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from receiver.collect import Collect, Window
from receiver.events import Envelope
from receiver.testing.clock import Clock


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event in the order in which events were accepted. `entry` names it, as an inbox entry would."""

    number: int
    envelope: Envelope

    @property
    def entry(self) -> str:
        """Its place in the inbox."""
        return f"{self.number}-0"


@dataclass(slots=True)
class Batch:
    """A closed batch, until its delivery has ended."""

    key: str
    events: list[Accepted]


@dataclass(slots=True)
class _Gathered:
    """What is gathered under one key, and when that closes (ms)."""

    window: Window
    since: int
    due: float
    events: dict[int, Accepted] = field(default_factory=dict)
    closed: Batch | None = None


class Gathering:
    """All that is gathered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: set[tuple[str, str, int]] = set()
        self._gathered: dict[tuple[str, str], _Gathered] = {}

    def gather(
        self, collect: Collect, keys: Sequence[str], *, event: Accepted, handler: str, call: int
    ) -> None:
        """Gather an event under keys, unless the call counted before."""
        if not self._counts(event, handler, call):
            return
        now = self._clock.milliseconds
        window = collect.window
        for key in keys:
            found = self._gathered.setdefault((collect.handler, key), _Gathered(window, now, 0))
            if not found.events:
                found.since = now
            found.events[event.number] = event
            found.due = _due(window, now, found.since, len(found.events))

    def cancel(
        self,
        collect: Collect,
        keys: Sequence[str],
        conversation: str | None,
        *,
        event: Accepted,
        handler: str,
        call: int,
    ) -> None:
        """Drop what was accepted before `event`, unless the call counted before."""
        if not self._counts(event, handler, call):
            return

        def is_meant(one: Accepted) -> bool:
            ours = conversation is None or one.envelope.conversation == conversation
            return one.number < event.number and ours

        for key in keys:
            found = self._gathered.get((collect.handler, key))
            if found is None:
                continue
            found.events = {number: one for number, one in found.events.items() if not is_meant(one)}
            if found.closed is not None and conversation is None:
                found.closed.events[:] = [one for one in found.closed.events if not is_meant(one)]

    def next_due(self) -> float | None:
        """Return when the next batch closes (ms), or None."""
        return min((one.due for one in self._closing()), default=None)

    def close_due(self) -> Iterable[tuple[str, Batch]]:
        """Close the batches that are due; give each with its handler's name."""
        now = self._clock.milliseconds
        for (handler, key), found in list(self._gathered.items()):
            if not (found.events and found.closed is None and found.due <= now):
                continue
            in_order = [found.events[number] for number in sorted(found.events)]
            most = found.window.most
            found.closed = Batch(key, in_order[:most])
            found.events = {one.number: one for one in in_order[most:]}
            if found.events:
                found.since = in_order[most].envelope.received
                found.due = _due(found.window, now, found.since, len(found.events))
            yield handler, found.closed

    def over(self, handler: str, key: str) -> None:
        """The delivery of a key's closed batch has ended: the key may have another one."""
        self._gathered[handler, key].closed = None

    def waiting(self) -> dict[tuple[str, str], list[Accepted]]:
        """Return what is gathered and hasn't closed, by handler and key."""
        return {place: list(found.events.values()) for place, found in self._gathered.items() if found.events}

    def _closing(self) -> Iterable[_Gathered]:
        return (one for one in self._gathered.values() if one.events and one.closed is None)

    def _counts(self, event: Accepted, handler: str, call: int) -> bool:
        seen = (event.entry, handler, call) in self._calls
        self._calls.add((event.entry, handler, call))
        return not seen


def _due(window: Window, now: int, since: int, count: int) -> float:
    if count >= window.most:
        return now
    return min(now + round(window.quiet * 1000), since + round(window.longest * 1000))
