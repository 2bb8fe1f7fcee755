"""The inbox: a Redis Stream of every event that was accepted.

Appends are group-committed: all requests that wait in one turn of the event loop share one pipeline,
one pipeline is in flight at a time, and each request is answered when its own entry is acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import structlog
from redis.exceptions import RedisError

from receiver.errors import NotStored
from receiver.events.envelope import Envelope
from receiver.pipeline import keys
from receiver.pipeline.connection import Client

GROUP_LIMIT = 1000
IDLE = 1.0
"""Seconds without an append after which the connection is looked at before it is used."""

Waiting = tuple[Envelope, asyncio.Future[None]]

_log = structlog.get_logger("receiver.inbox")
_NAMES = tuple(name.encode() for name in keys.FIELDS)


def _fields(envelope: Envelope) -> tuple[Any, ...]:
    values = (
        envelope.id,
        envelope.source,
        envelope.category,
        envelope.conversation,
        envelope.identity,
        envelope.received,
        envelope.body,
    )
    return tuple(part for pair in zip(_NAMES, values, strict=True) for part in pair)


def open_entry(fields: list[bytes]) -> Envelope | None:
    """Make an envelope from an inbox entry's flat list of names and values; None if it isn't one of ours."""
    if tuple(fields[::2]) != _NAMES:
        return None
    event_id, source, category, conversation, identity, received, body = fields[1::2]
    try:
        return Envelope(
            id=event_id.decode(),
            source=source.decode(),  # type: ignore[arg-type] # written by _fields from a Source
            category=category.decode(),
            conversation=conversation.decode(),
            identity=identity.decode(),
            received=int(received),
            body=body,
        )
    except ValueError:
        return None


def is_before(one: str, other: str) -> bool:
    """Tell whether the entry `one` was accepted before the entry `other`."""
    return _order(one) < _order(other)


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)


def _open_all(found: list[tuple[bytes, dict[bytes, bytes]]]) -> list[tuple[str, Envelope]]:
    """Open what redis-py has made of a range; entries that aren't ours are left out."""
    opened = (
        (entry.decode(), open_entry([part for pair in fields.items() for part in pair]))
        for entry, fields in found
    )
    return [(entry, envelope) for entry, envelope in opened if envelope is not None]


def _settle(group: list[Waiting], results: list[Any]) -> None:
    """Tell those who wait how it ended; those who have been told, or have given up, are passed over."""
    for (_, stored), result in zip(group, results, strict=True):
        if stored.done():
            continue
        if isinstance(result, RedisError):
            stored.set_exception(NotStored("the event could not be stored: Redis refused it. Try again."))
        elif isinstance(result, BaseException):
            stored.set_exception(result)
        else:
            stored.set_result(None)


class Inbox:
    """Appends envelopes, and reads them back for the CLI and the inspector."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: list[Waiting] = []
        self._committer: asyncio.Task[None] | None = None
        self._last_used = time.monotonic()

    async def append(self, envelope: Envelope) -> None:
        """Store `envelope`; return when Redis has acknowledged it.

        Raises:
            NotStored: Redis is away, or refused it.
        """
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((envelope, stored))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit())
        await stored

    async def _commit(self) -> None:
        try:
            while self._waiting:
                group = self._waiting[:GROUP_LIMIT]
                del self._waiting[:GROUP_LIMIT]
                try:
                    await self._commit_group(group)
                except Exception:  # a mistake of ours must not leave a whole group waiting for ever
                    _log.exception("events could not be stored")
                    _settle(group, [NotStored("the event could not be stored. Try again.")] * len(group))
        finally:
            self._committer = None

    async def _commit_group(self, group: list[Waiting]) -> None:
        await self._freshen()
        pipeline = self._client.pipeline(transaction=False)
        for envelope, _ in group:
            pipeline.execute_command("XADD", keys.INBOX, "*", *_fields(envelope))
        try:
            results = await pipeline.execute(raise_on_error=False)
        except (TimeoutError, RedisError, OSError) as error:
            _log.error("Redis is away: events are refused with 503", error=str(error), events=len(group))
            results = [NotStored("the event could not be stored: Redis is away. Try again.")] * len(group)
        _settle(group, results)

    async def _freshen(self) -> None:
        """After a pause, find out on a PING, not on events, that the connection has been closed meanwhile."""
        now = time.monotonic()
        if now - self._last_used > IDLE:
            with suppress(TimeoutError, RedisError, OSError):  # the append itself will tell
                await self._client.ping()
        self._last_used = now

    async def ready(self) -> None:
        """Check that events can be stored.

        Raises:
            NotStored: they can't.
        """
        try:
            memory = await self._client.info("memory")
        except (TimeoutError, RedisError, OSError) as error:
            raise NotStored(f"Redis is away: {error}") from error
        if 0 < memory["maxmemory"] <= memory["used_memory"]:
            raise NotStored("Redis is full (maxmemory)")

    async def length(self) -> int:
        """Return the number of events that are kept."""
        return int(await self._client.xlen(keys.INBOX))

    async def is_dispatched(self, entry: str) -> bool:
        """Tell whether the dispatcher has been past `entry`."""
        cursor = await self._client.get(keys.CURSOR)
        return cursor is not None and _order(cursor.decode()) >= _order(entry)

    async def latest(self, count: int) -> list[tuple[str, Envelope]]:
        """Return the `count` newest events with their entries, newest first."""
        found = await self._client.xrevrange(keys.INBOX, count=count)
        return _open_all(found)

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
            for entry, envelope in _open_all(found):
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
                for entry, envelope in _open_all(entries):
                    yield entry, envelope
