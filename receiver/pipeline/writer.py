"""The writer: appends groups of events to the inbox, each group once, though answers may be lost.

Groups are numbered, and the script that appends one notes its number. After an answer was lost the writer
is fenced off: what it has sent is refused from then on, wherever it still lies in a buffer, and the number
tells whether it had arrived before. A fenced writer's place is taken by a new one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from redis.exceptions import RedisError, ResponseError

from receiver.errors import Fenced, NotStored
from receiver.events.envelope import Envelope
from receiver.pipeline import keys
from receiver.pipeline.connection import Client, Script

GROUP_LIMIT = 1000
GROUP_BYTES = 8 * 2**20
"""Events, and bytes of their bodies, that are appended at once."""
REMEMBERED = 30 * 86_400
"""Seconds after its last group that Redis forgets a writer: a spool may wait that long to be emptied."""
_FIELDS = len(keys.FIELDS)
"""An envelope begins with the fields that are stored, in their order."""
_fence = Script("fence")


class Group(NamedTuple):
    """A group of a writer, by the writer's name and the group's number."""

    writer: str
    number: int


class Refused(NotStored):
    """Redis has answered, and stored nothing: it is full, still loading, or read-only."""


class Unanswered(Exception):
    """Redis did not answer an append: `group` may have been stored."""

    def __init__(self, group: Group, why: Exception) -> None:
        super().__init__(str(why))
        self.group = group


Note = Callable[[Group], Awaitable[None]]


class Writer:
    """A way into the inbox, for one group at a time: only then does the last number tell of all before it.

    `limit` is the inbox's, in events; 0 is none.
    """

    _append = Script("append")

    def __init__(self, client: Client, *, limit: int = 0) -> None:
        self.name = uuid4().hex
        self.limit = limit
        self._client = client
        self._group = 0

    def next_group(self) -> int:
        """Return the number of the group that is appended next."""
        self._group += 1
        return self._group

    async def append(self, envelopes: Sequence[Envelope], group: int, *, marks: Sequence[bytes] = ()) -> None:
        """Append a group. Of replays, `marks` has one for each.

        Raises:
            NotStored: the inbox is too long; a Refused, where another place may take the events.
            Fenced: this writer was fenced off, and nothing was stored.
            RedisError, OSError: there was no answer: `fence` tells whether it was stored.
        """
        arguments: list[Any] = [group, REMEMBERED, self.limit, _FIELDS + bool(marks)]
        if marks:
            for one, mark in zip(envelopes, marks, strict=True):
                arguments += (*one[:_FIELDS], mark)
        else:
            for one in envelopes:
                arguments += one[:_FIELDS]
        try:
            result = await self._append.run(self._client, [keys.INBOX, keys.writer(self.name)], arguments)
        except ResponseError as error:
            raise Refused(f"Redis refused the event: {str(error)[:100]}. Try again.") from error
        if result is None:
            raise Fenced(f"the writer {self.name} was fenced off")
        if result == 0:
            raise NotStored(
                f"the inbox holds {self.limit} events, and takes no more until some are finished. Try again.",
                retry_after=5,
            )


class Writers:
    """Writers, one after the other, for one user: each is given up when it is fenced off or not answered."""

    def __init__(self, client: Client, *, limit: int = 0) -> None:
        self._client = client
        self._limit = limit
        self._writer = Writer(client, limit=limit)

    async def append(self, envelopes: Sequence[Envelope], note: Note | None = None) -> None:
        """Append a group, after taking `note` of it. The next one goes when this has returned.

        Raises:
            NotStored: it was not stored.
            Unanswered: it may have been stored.
        """
        while True:
            group = Group(self._writer.name, self._writer.next_group())
            if note is not None:
                await note(group)
            try:
                await self._writer.append(envelopes, group.number)
            except Fenced:  # whoever emptied the spool wanted to know what this one had stored
                self._writer = Writer(self._client, limit=self._limit)
            except (RedisError, OSError) as error:
                self._writer = Writer(self._client, limit=self._limit)
                raise Unanswered(group, error) from error
            else:
                return


async def fence(client: Client, name: str) -> int:
    """Fence the writer `name` off; return the number of the last group that it has appended."""
    return int(await _fence.run(client, [keys.writer(name)], [REMEMBERED]))
