"""The dispatcher: moves events from the inbox into lanes, in the order they were accepted.

One process leads, by a lease. What it read is dispatched by a script that checks the leader's token
and the cursor it started from, so a leader that was paused can neither repeat nor skip an event.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import redis
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from receiver.cipher import Keyring, is_sealed
from receiver.errors import Unreadable
from receiver.events.batches import COLLECTED
from receiver.pipeline import housekeeping, jobs, keys, pace, reaper, room
from receiver.pipeline.connection import Client, Script
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.lanes import LINGERING_MS
from receiver.pipeline.marks import Mark
from receiver.pipeline.reaper import Reaper
from receiver.pipeline.routes import RoutingTable, lane_of, readable
from receiver.seldom import Seldom

LEASE_MS = 5_000
RENEW = 1.0
"""Seconds between renewals of the lease, and between looks at the routes."""
AT_ONCE = 500
FEW = 100
"""Events in a batch below which the next one keeps a distance: each costs as much as some ten events."""
ANSWERED_WITHIN = 0.05
"""Seconds in which a worker that has heard the bell begins a drain."""
SHARDS = 4096
"""Hashes per dedupe window. Redis keeps small ones, of up to 512 identities, in a quarter of the memory."""
_BATCH = COLLECTED.encode()
_REPLAY = keys.REPLAY.encode()

_log = structlog.get_logger("receiver.dispatcher")


def _passed_over(handler: str, error: ValueError) -> None:
    _log.error("a route can't be read; its handler gets no events", handler=handler, exc_info=error)


def _token_of(pid: int) -> str:
    """Return how the token of a dispatcher begins that is the process `pid` of this machine."""
    return f"{socket.gethostname()}:{pid}:"


def depose(client: redis.Redis, pid: int) -> bool:
    """Give up the lease of a dispatcher of this machine that has died; tell whether it led."""
    token = client.get(keys.LEASE)
    if not isinstance(token, bytes) or not token.startswith(_token_of(pid).encode()):
        return False
    return bool(client.eval(Dispatcher._resign.text, 1, keys.LEASE, token))


class Dispatcher:
    """A candidate for leadership: leads when nobody else does.

    `blocking` is the client for RQ, which has no asynchronous one.
    """

    _lead = Script("lead")
    _resign = Script("resign")
    _dispatch = Script("dispatch")

    def __init__(
        self,
        client: Client,
        blocking: redis.Redis,
        *,
        dedupe_window: float,
        retention: float,
        inbox_limit: int = 0,
    ) -> None:
        self.token = f"{_token_of(os.getpid())}{uuid4().hex}"
        self._client = client
        self._keyring: Keyring = client.keyring
        self._blocking = blocking
        self._dedupe_window = max(1, round(dedupe_window))
        self._table = RoutingTable(())
        self._published: dict[bytes, bytes] | None = None
        self._untold = b""  # routes that no batch was dispatched by yet
        self._cursor: str | None = None
        self._leading = False
        self._renewed = 0.0
        self._took = 0.0  # seconds, by the last batch
        self._is_bounded = False
        self._rung: dict[str, float] = {}  # lane → when the bell rang for it
        self._seldom = Seldom()
        self._reaper = Reaper(client, blocking)
        self._housekeeper = Housekeeper(client, retention, inbox_limit)
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Lead whenever possible, until `stopping` is set. Nothing but that ends it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self._step, 0.0))
            tasks.create_task(self._repeat(self._wake_the_rest, ANSWERED_WITHIN))
            tasks.create_task(self._repeat(self._reap, reaper.EVERY))
            tasks.create_task(self._repeat(self._trim, housekeeping.EVERY))
            tasks.create_task(self._repeat(self._make_room, housekeeping.LOOKS_EVERY))
        with suppress(RedisError, OSError, TimeoutError):  # the reaper finds lanes that nobody comes for
            await asyncio.to_thread(jobs.wake, self._blocking, list(self._rung))
        with suppress(RedisError, OSError, TimeoutError):  # a lease that stays expires by itself
            await self._resign.run(self._client, [keys.LEASE], [self.token])

    async def _repeat(self, work: Callable[[], Awaitable[object]], every: float) -> None:
        """Do `work` again and again, with a pause between; a fault costs a second, and no more."""
        while not self.stopping.is_set():
            pause = every
            try:
                await work()
            except (RedisConnectionError, RedisTimeoutError, OSError) as error:
                if self._seldom("away"):
                    _log.warning("Redis is away; the dispatcher waits", error=str(error))
                self._leading, pause = False, 1.0
            except OutOfMemoryError:
                if self._seldom("full"):
                    _log.error("Redis is full to the brim: raise its maxmemory")
                self._leading, pause = False, 1.0
            except Exception:
                _log.exception("the dispatcher met something unexpected; it tries again")
                self._leading, pause = False, 1.0
            await self._pause(pause)

    async def _step(self) -> None:
        if not await self._hold_lease() or (self._is_bounded and await self._is_full()):
            await self._pause(RENEW)
        elif await self.dispatch_once(block_ms=round(RENEW * 1000)) < FEW:
            await self._pause(pace.distance(self._took))

    async def _is_full(self) -> bool:
        """Tell whether what is dispatched has to be handled first: that needs the rest of Redis's memory."""
        used = await room.used(self._client)
        if used >= room.BRIM and self._seldom("brim"):
            _log.warning(
                "Redis is nearly full: nothing is dispatched until there is room", used=f"{used:.0%}"
            )
        return used >= room.BRIM

    async def _reap(self) -> None:
        if self._leading:
            await self._reaper.reap()
        else:
            await self._reaper.watch()

    async def _trim(self) -> None:
        # Whoever leads: trimming twice does no harm, and a full Redis lets nobody lead.
        await self._housekeeper.trim()
        await self._housekeeper.bury()

    async def _make_room(self) -> None:
        await self._housekeeper.make_room()

    async def _hold_lease(self) -> bool:
        """Take or renew the lease, and learn the routes; tell whether this process leads."""
        if self._leading and time.monotonic() - self._renewed < RENEW:
            return True
        began = time.monotonic()
        leading = bool(await self._lead.run(self._client, [keys.LEASE], [self.token, LEASE_MS]))
        if leading and not self._leading:
            _log.info("leads")
            self._cursor = ((await self._client.get(keys.CURSOR)) or b"0-0").decode()
            self._published = None  # the last leader may have gone by other routes
        self._leading = leading
        self._renewed = began
        if leading:
            await self._learn_routes()
            self._is_bounded = await room.used(self._client) > 0
        return leading

    async def _learn_routes(self) -> None:
        published: dict[bytes, bytes] = await self._client.hgetall(keys.ROUTES)
        if published != self._published:
            self._published = published
            self._table = RoutingTable(readable(published, _passed_over))
            self._untold = self._table.to_json()
            _log.info("routes", handlers=[route.handler for route in self._table.routes])

    async def dispatch_once(self, *, block_ms: int | None = None) -> int:
        """Dispatch one batch; return how many events it had. Waits up to `block_ms` for the first."""
        if not self._table.routes:
            # Nobody has asked for anything yet: events wait in the inbox for the first handler.
            await self._pause((block_ms or 0) / 1000)
            return 0
        assert self._cursor is not None
        self._took = 0.0
        found = await self._client.xread({keys.INBOX: self._cursor}, count=AT_ONCE, block=block_ms)
        if not found:
            return 0
        began = time.monotonic()
        entries = found[0][1]
        arguments: list[Any] = []
        for entry, fields in entries:
            arguments += self._plan(entry, fields)
        last = entries[-1][0].decode()
        result = await self._dispatch.run(
            self._client,
            [keys.LEASE, keys.CURSOR, keys.LANES, keys.STATS, keys.ROUTINGS],
            [keys.PREFIX, self.token, self._cursor, last, self._dedupe_window, self._untold, *arguments],
        )
        if result is None:
            _log.warning("no longer leads")
            self._leading = False
            return 0
        self._cursor, self._untold = last, b""
        heard, called = result
        lanes = [lane.decode() for lane in called]
        if heard:
            self._rung |= dict.fromkeys(lanes, time.monotonic())
        elif lanes:
            await asyncio.to_thread(jobs.wake, self._blocking, lanes)
        self._took = time.monotonic() - began
        return len(entries)

    async def _wake_the_rest(self) -> None:
        """Give a job to the lanes that the bell has rung for, and that nobody has come for in time.

        A drain that has heard the bell has a long lease, or is done already. Where the lease is that of one
        that lingers, it hasn't heard, and may be dead: the lane gets its job as soon as that lease is over.
        """
        before = time.monotonic() - ANSWERED_WITHIN
        lanes = [lane for lane, rung in self._rung.items() if rung <= before]
        if not lanes:
            return
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hmget(keys.LANES, lanes)
        for lane in lanes:
            pipeline.pttl(keys.lane(lane, "owner"))
        states, *leases = await pipeline.execute()
        looked = zip(lanes, states, leases, strict=True)
        waiting = {lane: lease for lane, state, lease in looked if state == b"active"}
        alone = [lane for lane, lease in waiting.items() if lease == reaper.NO_OWNER]
        if alone:
            await asyncio.to_thread(jobs.wake, self._blocking, alone)
        for lane in lanes:
            is_kept = 0 <= waiting.get(lane, reaper.NO_OWNER) <= LINGERING_MS
            if not is_kept and self._rung[lane] <= before:  # else it rang again meanwhile
                del self._rung[lane]

    def _plan(self, entry: bytes, fields: dict[bytes, bytes]) -> list[Any]:
        """Return one event's part of the script's arguments."""
        if fields.get(b"category") == _BATCH:
            return [entry, b"", 0, 0]  # it is in its lane already; and no request may pass for one
        try:
            conversation, identity = fields[b"conversation"].decode(), fields[b"identity"]
            only = Mark.from_json(fields[_REPLAY]).handlers if _REPLAY in fields else None
            routes = self._table.find(fields[b"category"].decode(), self._read_body(entry, fields), only)
            shard = zlib.crc32(identity) % SHARDS
            return [
                *(entry, identity, shard, len(routes)),
                *(lane_of(route.handler, conversation) for route in routes),
            ]
        except (KeyError, ValueError):  # intake writes no such entry; one written by hand must not stop all
            _log.exception("an inbox entry can't be read, and goes to no handler", entry=entry.decode())
            return [entry, b"", 0, 0]

    def _read_body(self, entry: bytes, fields: dict[bytes, bytes]) -> bytes | None:
        """Return the body; None where it can't be decrypted, so that nobody knows who wants the event."""
        body = fields[b"body"]
        if not is_sealed(body):
            return body
        try:
            return self._keyring.open(body, fields[b"id"].decode())
        except Unreadable as error:
            if self._seldom(f"unreadable {error.key}"):
                _log.error("a body can't be read: its event goes to all who may want it", error=str(error))
            return None

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
