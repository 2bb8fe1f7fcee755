"""Storing: an accepted event goes into the inbox or, while Redis can't take it, into the spool.

Appends are group-committed: all requests that wait in one turn of the event loop share one script call
(or one transaction of the spool), one is in flight at a time, and each request is answered when its own
group is stored. While a spool holds anything, new events go behind it, so their order is kept.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import structlog
from redis.exceptions import RedisError

from receiver.errors import NotStored
from receiver.events.envelope import Envelope
from receiver.pipeline import room
from receiver.pipeline.connection import Client
from receiver.pipeline.emptier import Emptier
from receiver.pipeline.sealing import sealed
from receiver.pipeline.spool import CERTAIN, FILE, Spool, may_hold
from receiver.pipeline.writer import GROUP_BYTES, GROUP_LIMIT, Group, Refused, Unanswered, Writers
from receiver.seldom import Seldom

IDLE = 1.0
"""Seconds without an append after which the connection is looked at before it is used."""
RETRY = 0.5
"""Seconds between attempts to empty the spool, and between looks at the room in Redis."""
ROOM = 2**20
"""Bytes that must be free, on disk and in the spool, for a process that can store."""

Place = Literal["inbox", "spool"]
Waiting = tuple[Envelope, "asyncio.Future[Place]"]
Result = TypeVar("Result")

_log = structlog.get_logger("receiver.storage")


class Storage:
    """Where one receiver process puts what it has accepted.

    `limit` is the inbox's, in events; `spool_limit` is in bytes; 0 is no limit, and no spool. `client`'s
    own time limit is what an append may take before the spool is used. Processes with the same `folder`
    share the spool. `client`'s keyring encrypts bodies before they go anywhere. `full` tells whether
    Redis was, at the last look.
    """

    def __init__(self, client: Client, folder: Path, *, limit: int, spool_limit: int) -> None:
        self._client = client
        self._folder = folder
        self._spool_limit = spool_limit
        self._writers = Writers(client, limit=limit)
        self._emptier = Emptier(client, self._on_disk, limit=limit)
        self._waiting: list[Waiting] = []
        self._committer: asyncio.Task[None] | None = None
        self._caretaker: asyncio.Task[None] | None = None
        self.full = False
        self._closing = False
        self._spool: Spool | None = None
        self._opening = asyncio.Lock()
        self._left_behind = False
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._last_used = time.monotonic()
        self._seldom = Seldom()

    async def open(self) -> None:
        """Open the spool, and empty it from now on whenever Redis can take it. What can't be is only told.

        Where there is to be none, one that is left from before is emptied.
        """
        if self._spool_limit or (self._folder / FILE).exists():
            await self._try_to_open()
        self._caretaker = asyncio.create_task(self._take_care())

    async def close(self) -> None:
        """Answer what waits, and let go of the spool."""
        while self._committer is not None:
            await asyncio.wait([self._committer])
        self._closing = True  # in Python 3.11, asyncio.wait_for in redis-py may swallow a cancellation
        if self._caretaker is not None:
            self._caretaker.cancel()
            await asyncio.wait([self._caretaker])
        if self._spool is not None:
            await self._on_disk(self._spool.close)
        self._disk.shutdown()

    @property
    def spooling(self) -> bool:
        """Whether events are in the spool, so that new ones go there, too."""
        return self._left_behind or (self._spool is not None and self._spool.holds)

    async def spooled(self) -> tuple[int, int]:
        """Return how many events are in the spool, and its bytes on disk.

        Raises:
            NotStored: it can't be read.
        """
        if self._spool is None:
            return 0, 0
        return await self._on_disk(self._spool.count), self._spool.size

    async def can_spool(self) -> bool:
        """Tell whether there is a spool, with room for an event."""
        if not self._spool_limit:
            return False
        try:
            spool = await self._open_spool()
        except NotStored:
            return False
        return shutil.disk_usage(self._folder).free > ROOM and spool.size + ROOM < self._spool_limit

    async def append(self, envelope: Envelope) -> Place:
        """Store `envelope`; return where, once it is there.

        Raises:
            NotStored: neither the inbox nor the spool can take it.
        """
        stored: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append((sealed(envelope, self._client.keyring), stored))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit())
        return await stored

    async def _commit(self) -> None:
        try:
            while self._waiting:
                group = self._next_group()
                try:
                    place = await self._store([envelope for envelope, _ in group])
                except NotStored as error:
                    _refuse(group, error)
                except Exception:  # a mistake of ours must not leave a whole group waiting for ever
                    _log.exception("events could not be stored")
                    _refuse(group, NotStored("the event could not be stored. Try again."))
                else:
                    for _, stored in group:
                        if not stored.done():  # its sender may have given up
                            stored.set_result(place)
        finally:
            self._committer = None

    def _next_group(self) -> list[Waiting]:
        size = taken = 0
        for envelope, _ in self._waiting[:GROUP_LIMIT]:
            size += len(envelope.body)
            if taken and size > GROUP_BYTES:
                break
            taken += 1
        group = self._waiting[:taken]
        del self._waiting[:taken]
        return group

    async def _store(self, envelopes: Sequence[Envelope]) -> Place:
        if self.spooling:
            return await self._put_aside(envelopes)
        if self.full:
            return await self._put_aside(envelopes, why=Refused("Redis is full (maxmemory). Try again."))
        try:
            await self._freshen()
            await self._writers.append(envelopes)
        except Refused as error:
            return await self._put_aside(envelopes, why=error)
        except Unanswered as error:
            return await self._put_aside(envelopes, error.group, why=error)
        return "inbox"

    async def _freshen(self) -> None:
        """After a pause, find out on a PING, not on events, that the connection has been closed meanwhile."""
        now = time.monotonic()
        if now - self._last_used > IDLE:
            with suppress(RedisError, OSError):
                await self._client.ping()
        self._last_used = now

    async def _put_aside(
        self, envelopes: Sequence[Envelope], group: Group = CERTAIN, *, why: Exception | None = None
    ) -> Place:
        if not self._spool_limit:
            if self._seldom("refused"):
                _log.error("Redis can't take events: they are refused with 503", error=str(why))
            raise NotStored(
                "the event could not be stored: Redis is away, or refuses it, and there is no spool "
                "(RECEIVER_SPOOL_LIMIT is 0). Try again.",
                retry_after=5,
            ) from why
        if why is not None:
            _log.error("Redis can't take events: they go to the spool", error=str(why), events=len(envelopes))
        spool = await self._open_spool()
        await self._on_disk(spool.add, envelopes, group)
        return "spool"

    async def _open_spool(self) -> Spool:
        async with self._opening:
            if self._spool is None:
                self._spool = await self._on_disk(lambda: Spool(self._folder, limit=self._spool_limit))
                self._left_behind = False
            return self._spool

    async def _try_to_open(self) -> None:
        """Open the spool. If that fails and it may hold events, new ones wait for them, too."""
        try:
            await self._open_spool()
        except NotStored as error:  # its folder or file, a lock that is held for long
            self._left_behind = await self._on_disk(may_hold, self._folder)
            if self._seldom("no spool"):
                _log.error("there is no spool", error=str(error), holds_events=self._left_behind)

    async def _take_care(self) -> None:
        """Look at the room in Redis, open the spool, and empty it, again and again."""
        while not self._closing:
            with suppress(RedisError, OSError):  # Redis is away, which appends find out
                self.full = await room.used(self._client) >= room.FULL
            if self._spool is None and (self._spool_limit or self._left_behind):
                await self._try_to_open()
            if self._spool is not None and self._spool.holds:
                await self._emptier.empty(self._spool)
            await asyncio.sleep(RETRY)

    async def _on_disk(self, work: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)


def _refuse(group: list[Waiting], error: NotStored) -> None:
    for _, stored in group:
        if not stored.done():
            stored.set_exception(error)
