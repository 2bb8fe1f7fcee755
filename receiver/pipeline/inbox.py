"""The inbox: a Redis Stream of every event that was accepted. (How they get there is in `storage.py`.)"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from redis.exceptions import RedisError

from receiver.cipher import Keyring, is_sealed
from receiver.errors import NotStored, Unreadable
from receiver.events.envelope import Envelope
from receiver.pipeline import keys, room
from receiver.pipeline.connection import Client
from receiver.pipeline.marks import Mark

_NAMES = tuple(name.encode() for name in keys.FIELDS)
_REPLAYED = (*_NAMES, keys.REPLAY.encode())


def open_entry(fields: list[bytes], keyring: Keyring) -> Envelope | None:
    """Make an envelope from an inbox entry's flat list of names and values; None if it isn't one of ours.

    A body that can't be decrypted here stays as it is stored: `sealing.opened` tells why.
    """
    names = tuple(fields[::2])
    if names not in (_NAMES, _REPLAYED):
        return None
    event_id, source, category, conversation, identity, received, body = fields[1:14:2]
    try:
        if is_sealed(body):
            body = _open_body(body, event_id.decode(), keyring)
        return Envelope(
            id=event_id.decode(),
            source=source.decode(),  # type: ignore[arg-type] # written by _fields from a Source
            category=category.decode(),
            conversation=conversation.decode(),
            identity=identity.decode(),
            received=int(received),
            body=body,
            replay_of=None if names == _NAMES else Mark.from_json(fields[15]).of,
        )
    except ValueError:
        return None


def _open_body(body: bytes, event_id: str, keyring: Keyring) -> bytes:
    try:
        return keyring.open(body, event_id)
    except Unreadable:
        return body


def open_letter(values: list[bytes | None], keyring: Keyring) -> Envelope | None:
    """Make an envelope from the values of a letter, in the order of `keys.LETTER`; None if there is none."""
    pairs = zip(keys.LETTER, values, strict=True)
    fields = [part for name, value in pairs if value is not None for part in (name.encode(), value)]
    return open_entry(fields, keyring)


def is_before(one: str, other: str) -> bool:
    """Tell whether the entry `one` was accepted before the entry `other`."""
    return order(one) < order(other)


def order(entry: str) -> tuple[int, int]:
    """Return what entries are sorted by."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)


def open_all(found: list[tuple[bytes, dict[bytes, bytes]]], keyring: Keyring) -> list[tuple[str, Envelope]]:
    """Open what redis-py has made of a range; entries that aren't ours are left out."""
    opened = (
        (entry.decode(), open_entry([part for pair in fields.items() for part in pair], keyring))
        for entry, fields in found
    )
    return [(entry, envelope) for entry, envelope in opened if envelope is not None]


class Inbox:
    """Reads envelopes back: for the CLI and the inspector, and to tell how things stand."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ready(self) -> None:
        """Check that events can be stored.

        Raises:
            NotStored: they can't.
        """
        try:
            used = await room.used(self._client)
        except (TimeoutError, RedisError, OSError) as error:
            raise NotStored(f"Redis is away: {error}") from error
        if used >= room.FULL:
            raise NotStored(f"Redis is full: {used:.0%} of its maxmemory are used")

    async def length(self) -> int:
        """Return the number of events that are kept."""
        return int(await self._client.xlen(keys.INBOX))

    async def is_dispatched(self, entry: str) -> bool:
        """Tell whether the dispatcher has been past `entry`."""
        return not is_before(await self.newest_dispatched(), entry)

    async def newest_dispatched(self) -> str:
        """Return the entry that the dispatcher has come to."""
        return ((await self._client.get(keys.CURSOR)) or b"0-0").decode()

    async def latest(self, count: int) -> list[tuple[str, Envelope]]:
        """Return the `count` newest events with their entries, newest first."""
        found = await self._client.xrevrange(keys.INBOX, count=count)
        return open_all(found, self._client.keyring)

    async def find(self, event_id: str, *, page: int = 500) -> tuple[str, Envelope] | None:
        """Return the event with this id and its entry, or None.

        The id begins with its time of receipt, so the search begins shortly before it.
        """
        try:
            start = max(0, int(event_id[:12], 16) - 60_000)
        except ValueError:
            return None
        low = f"{start}-0"
        while found := await self._client.xrange(keys.INBOX, min=low, count=page):
            for entry, envelope in open_all(found, self._client.keyring):
                if envelope.id == event_id:
                    return entry, envelope
            low = f"({found[-1][0].decode()}"
        return None

    async def follow(self, after: str | None = None) -> AsyncIterator[tuple[str, Envelope]]:
        """Give every event that arrives from now on, or that stands behind the entry `after`."""
        newest = await self._client.xrevrange(keys.INBOX, count=1)
        last: Any = after or (newest[0][0] if newest else "0-0")
        while True:
            found = await self._client.xread({keys.INBOX: last}, count=100, block=1000)
            for _, entries in found:
                last = entries[-1][0]
                for entry, envelope in open_all(entries, self._client.keyring):
                    yield entry, envelope
