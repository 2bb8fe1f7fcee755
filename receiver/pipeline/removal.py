"""One walk through all that is stored: what it has found of a person, and what it has removed."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from receiver.errors import ReceiverError
from receiver.events.envelope import Envelope
from receiver.events.person import Person
from receiver.pipeline import keys
from receiver.pipeline.connection import Client, Script
from receiver.pipeline.dispatcher import SHARDS

AT_ONCE = 100
"""Events of one script: Redis does nothing else meanwhile."""
LEASE_MS = 60_000
INBOX, LETTERS, IDENTITIES = "inbox", "dead letters", "dedupe digests"

_PURGE = Script("purge")

Tell = Callable[[str, int, int], None]
"""Is told how far a walk is: where it is, how much it has seen there, and of how much."""
Hit = tuple[str, str]
"""An event that was found: its entry, and its identity."""


@dataclass(slots=True)
class Tally:
    """What was found and removed, by place. `kept` was found, and stays because it was asked to.

    `unreadable` are bodies that nobody can search; `entries` are those that were found, `batches` what the
    batches in the inbox list of these.
    """

    found: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    entries: set[str] = field(default_factory=set)
    batches: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Removal:
    """One walk. With `act` it removes what it finds; without, it only counts.

    `keep` are entries that stay, with what their lanes have, since they wait for their handlers. `last` is
    the last inbox entry that is looked at: what comes later is new. `token` is the running purge's.
    """

    client: Client
    person: Person
    tell: Tell
    windows: tuple[str, ...] = ()
    last: str = "+"
    act: bool = False
    keep: frozenset[str] = frozenset()
    keep_waiting: bool = False
    opt_outs: bool = False
    token: str = ""
    tally: Tally = field(default_factory=Tally)

    def names(self, envelope: Envelope) -> bool:
        """Tell whether an event is from or about the person. A body that is no JSON counts as unreadable."""
        if envelope.conversation == self.person.user_id or self.person.is_named(envelope.body):
            return True
        self.tally.unreadable += envelope.body.lstrip()[:1] not in (b"{", b"[")
        return False

    async def note(self, place: str, events: Sequence[Hit]) -> None:
        """Count events that were found; remove them if that is the task."""
        self.tally.found[place] += len(events)
        self.tally.entries.update(entry for entry, _ in events)
        gone = [one for one in events if one[0] not in self.keep]
        self.tally.kept[place] += len(events) - len(gone)
        if self.act:
            for first in range(0, len(gone), AT_ONCE):
                await self._drop(gone[first : first + AT_ONCE])
        elif place == INBOX:
            await self._count_identities(events)

    async def _drop(self, events: Sequence[Hit]) -> None:
        await self.hold()
        arguments: list[object] = [keys.PREFIX, len(self.windows), *self.windows]
        for entry, identity in events:
            arguments += (entry, identity, _shard(identity))
        names = [keys.INBOX, keys.PURGED, keys.DEAD, keys.REVIVED, keys.MARRED]
        removed = await _PURGE.run(self.client, names, arguments)
        for place, number in zip((INBOX, LETTERS, IDENTITIES), removed, strict=True):
            self.tally.removed[place] += number

    async def _count_identities(self, events: Sequence[Hit]) -> None:
        pipeline, asked = self.client.pipeline(transaction=False), []
        for entry, identity in events:
            for window in self.windows if identity else ():
                pipeline.hget(f"{keys.PREFIX}seen:{window}:{_shard(identity)}", identity)
                asked.append(entry)
        answers = await pipeline.execute() if asked else []
        same = sum(answer == entry.encode() for entry, answer in zip(asked, answers, strict=True))
        self.tally.found[IDENTITIES] += same

    async def hold(self) -> None:
        """Go on being the only purge that runs.

        Raises:
            ReceiverError: another one took over, since this one stood still.
        """
        if not self.act:
            return
        if await self.client.get(keys.PURGING) != self.token.encode():
            raise ReceiverError("another purge has taken over: this one stood still for too long. Repeat it.")
        await self.client.pexpire(keys.PURGING, LEASE_MS)


def _shard(identity: str) -> int:
    return zlib.crc32(identity.encode()) % SHARDS
