"""Replay: events that are kept are appended to the inbox once more, as new events with a mark.

A replayed event has an id and a history of its own, and no identity, so that nobody takes it for a repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from receiver.cipher import is_sealed
from receiver.errors import ReceiverError
from receiver.events.envelope import BATCH, Envelope
from receiver.pipeline import dead_letters, keys
from receiver.pipeline.connection import Client
from receiver.pipeline.dead_letters import Wanted
from receiver.pipeline.inbox import Inbox, is_before, open_all
from receiver.pipeline.marks import Mark
from receiver.pipeline.routes import Route, RoutingTable
from receiver.plugins import covers

PAGE = 500
"""Events that are read at once."""
SKEW = 60_000
"""Milliseconds that the clocks of receivers and of Redis may differ."""

BATCHES = "batches: their events can be replayed, and a dead one retried"
REPEATS = "repeats of other events"
REPLAYS = "replays themselves"
UNREADABLE = "encrypted with a key that isn't here: see `receiver doctor`"
UNWANTED = "wanted by no handler"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be replayed: all of it must fit. Times are of receipt, in milliseconds since the epoch.

    `failed`: only deliveries that are dead letters, each at its own handler.
    """

    ids: tuple[str, ...] = ()
    since: float = 0.0
    until: float = float("inf")
    category: str | None = None
    conversation: str | None = None
    handler: str | None = None
    failed: bool = False

    def matches(self, envelope: Envelope) -> bool:
        """Tell whether this event is meant."""
        return (
            self.since <= envelope.received <= self.until
            and (self.category is None or covers(self.category, envelope.category))
            and self.conversation in (None, envelope.conversation)
        )


@dataclass(frozen=True, slots=True)
class End:
    """Where selections end, so that a later one chooses nothing that came after an earlier one.

    `cursor` is the last entry that was dispatched, None before the first one; `died` is the latest time at
    which a dead letter died, in milliseconds since the epoch.
    """

    cursor: str | None
    died: float

    @classmethod
    async def now(cls, client: Client) -> End:
        """Return the end of what there is now."""
        cursor, (seconds, microseconds) = await client.get(keys.CURSOR), await client.time()
        return cls(cursor.decode() if cursor else None, seconds * 1000 + microseconds / 1000)


@dataclass(frozen=True, slots=True)
class Chosen:
    """An event that is to be replayed, and the handlers that will get it; `only` those, or all there are."""

    envelope: Envelope
    handlers: tuple[str, ...]
    only: bool

    def renewed(self, event_id: str) -> tuple[Envelope, Mark]:
        """Return the event as it is appended: when it was received stays."""
        of = self.envelope.replay_of or self.envelope.id
        mark = Mark(of, self.handlers if self.only else None)
        return self.envelope._replace(id=event_id, identity="", replay_of=of), mark


@dataclass(slots=True)
class Selection:
    """Chooses what a wish means, of what came until `end`. `skipped` counts what was left out, and why."""

    client: Client
    wish: Wish
    routes: Iterable[Route]
    end: End
    skipped: Counter[str] = field(default_factory=Counter)

    async def __aiter__(self) -> AsyncIterator[Chosen]:
        """Give what is chosen, in the order of acceptance.

        Raises:
            ReceiverError: an id that is named is of no event that could be replayed.
        """
        self.skipped.clear()
        table = RoutingTable(self.routes)
        async for envelope, failed in self._found():
            if is_sealed(envelope.body):
                self.skipped[UNREADABLE] += 1
                continue
            names = [route.handler for route in table.find(envelope.category, envelope.body)]
            if failed is not None:
                names = [name for name in names if name in failed]
            if self.wish.handler is not None:
                names = [name for name in names if name == self.wish.handler]
            if names:
                only = failed is not None or self.wish.handler is not None
                yield Chosen(envelope, tuple(names), only)
            else:
                self.skipped[UNWANTED] += 1

    async def _found(self) -> AsyncIterator[tuple[Envelope, set[str] | None]]:
        """Give events that fit, and the handlers at which they have failed, where that matters."""
        if self.wish.failed:
            for envelope, handlers in await self._dead():
                yield envelope, handlers
        elif self.wish.ids:
            for event_id in self.wish.ids:
                envelope = await self._named(event_id)
                if self.wish.matches(envelope):
                    yield envelope, None
        else:
            async for envelope in self._kept():
                yield envelope, None

    async def _dead(self) -> list[tuple[Envelope, set[str]]]:
        found: dict[str, tuple[Envelope, set[str]]] = {}
        wanted = Wanted(ids=frozenset(self.wish.ids), handler=self.wish.handler, until=self.end.died)
        async for letter in dead_letters.find(self.client, wanted):
            if letter.envelope.source == BATCH:
                self.skipped[BATCHES] += 1
            elif self.wish.matches(letter.envelope):
                found.setdefault(letter.entry, (letter.envelope, set()))[1].add(letter.handler)
        return [found[entry] for entry in sorted(found, key=_order)]

    async def _named(self, event_id: str) -> Envelope:
        """Return one event: from the inbox or, where it has left that, from its dead letter."""
        found = await Inbox(self.client).find(event_id)
        envelope = found[1] if found else None
        if envelope is None:
            async for letter in dead_letters.find(self.client, Wanted(ids=frozenset([event_id]))):
                envelope = letter.envelope
        if envelope is None:
            raise ReceiverError(
                f"there is no event {event_id} to replay: either there never was one, or it has left the "
                "inbox (RECEIVER_RETENTION), and is no dead letter."
            )
        if envelope.source == BATCH:
            raise ReceiverError(
                f"{event_id} is a batch: its events can be replayed (`receiver events show` lists them). "
                "A dead batch can be retried: receiver dead-letters retry."
            )
        return envelope

    async def _kept(self) -> AsyncIterator[Envelope]:
        """Give what the dispatcher has been past, as far as the inbox still has it."""
        cursor, low = self.end.cursor, f"{max(0, int(self.wish.since) - SKEW)}-0"
        if cursor is None or is_before(cursor, low):
            return
        while found := await self.client.xrange(keys.INBOX, min=low, max=cursor, count=PAGE):
            low = f"({found[-1][0].decode()}"
            opened = [one for one in open_all(found, self.client.keyring) if self.wish.matches(one[1])]
            pipeline = self.client.pipeline(transaction=False)
            for entry, _ in opened:
                pipeline.hexists(keys.event(entry), "repeats")
            for (_, envelope), repeats in zip(opened, await pipeline.execute(), strict=True):
                if repeats:
                    self.skipped[REPEATS] += 1
                elif envelope.replay_of is not None:
                    self.skipped[REPLAYS] += 1
                elif envelope.source == BATCH:
                    self.skipped[BATCHES] += 1
                else:
                    yield envelope


def _order(entry: str) -> tuple[int, ...]:
    return tuple(map(int, entry.split("-")))
