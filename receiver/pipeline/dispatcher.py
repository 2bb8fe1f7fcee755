"""The dispatcher: moves events from the inbox into lanes, in the order they were accepted.

One process leads, by a lease. What it read is dispatched by a script that checks the leader's token
and the cursor it started from, so a leader that was paused can neither repeat nor skip an event.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import redis
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from receiver.events.parsing import NotJSON
from receiver.pipeline import jobs, keys
from receiver.pipeline.connection import Client, Script
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.reaper import Reaper
from receiver.pipeline.routes import Route, RoutingTable, lane_of

LEASE_MS = 5_000
RENEW = 1.0
"""Seconds between renewals of the lease, and between looks at the routes."""
BATCH = 500

_log = structlog.get_logger("receiver.dispatcher")


class Dispatcher:
    """A candidate for leadership: leads when nobody else does.

    `blocking` is the client for RQ, which has no asynchronous one.
    """

    _lead = Script("lead")
    _resign = Script("resign")
    _dispatch = Script("dispatch")

    def __init__(
        self, client: Client, blocking: redis.Redis, *, dedupe_window: float, retention: float
    ) -> None:
        self.token = uuid4().hex
        self._client = client
        self._blocking = blocking
        self._dedupe_window = max(1, round(dedupe_window))
        self._table = RoutingTable(())
        self._published: dict[bytes, bytes] | None = None
        self._cursor: str | None = None
        self._leading = False
        self._renewed = 0.0
        self._chores = (Reaper(client, blocking), Housekeeper(client, retention))
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Lead whenever possible, until `stopping` is set. Redis going away only pauses it."""
        while not self.stopping.is_set():
            try:
                await self._step()
            except (RedisConnectionError, RedisTimeoutError, OSError) as error:
                _log.warning("Redis is away; the dispatcher waits", error=str(error))
                await self._stand_back()
            except RedisError:
                _log.exception("Redis refused something; the dispatcher tries again")
                await self._stand_back()
        with suppress(RedisError, OSError, TimeoutError):  # a lease that stays expires by itself
            await self._resign.run(self._client, [keys.LEASE], [self.token])

    async def _stand_back(self) -> None:
        self._leading = False
        await self._pause(1.0)

    async def _step(self) -> None:
        if not await self._hold_lease():
            await self._pause(RENEW)
            return
        moved = await self.dispatch_once(block_ms=round(RENEW * 1000))
        if not moved:
            for chore in self._chores:
                await chore.run_if_due()

    async def _hold_lease(self) -> bool:
        """Take or renew the lease, and learn the routes; tell whether this process leads."""
        if self._leading and time.monotonic() - self._renewed < RENEW:
            return True
        began = time.monotonic()
        leading = bool(await self._lead.run(self._client, [keys.LEASE], [self.token, LEASE_MS]))
        if leading and not self._leading:
            _log.info("leads")
            self._cursor = ((await self._client.get(keys.CURSOR)) or b"0-0").decode()
        self._leading = leading
        self._renewed = began
        if leading:
            await self._learn_routes()
        return leading

    async def _learn_routes(self) -> None:
        published: dict[bytes, bytes] = await self._client.hgetall(keys.ROUTES)
        if published != self._published:
            self._published = published
            self._table = RoutingTable(Route.from_json(stored) for stored in published.values())
            _log.info("routes", handlers=[route.handler for route in self._table.routes])

    async def dispatch_once(self, *, block_ms: int | None = None) -> int:
        """Dispatch one batch; return how many events it had. Waits up to `block_ms` for the first."""
        if not self._table.routes:
            # Nobody has asked for anything yet: events wait in the inbox for the first handler.
            await self._pause((block_ms or 0) / 1000)
            return 0
        assert self._cursor is not None
        found = await self._client.xread({keys.INBOX: self._cursor}, count=BATCH, block=block_ms)
        if not found:
            return 0
        entries = found[0][1]
        arguments: list[Any] = []
        for entry, fields in entries:
            arguments += self._plan(entry, fields)
        last = entries[-1][0].decode()
        woken = await self._dispatch.run(
            self._client,
            [keys.LEASE, keys.CURSOR, keys.LANES, keys.STATS],
            [keys.PREFIX, self.token, self._cursor, last, self._dedupe_window, *arguments],
        )
        if woken is None:
            _log.warning("no longer leads")
            self._leading = False
            return 0
        self._cursor = last
        if woken:
            await asyncio.to_thread(jobs.wake, self._blocking, [lane.decode() for lane in woken])
        return len(entries)

    def _plan(self, entry: bytes, fields: dict[bytes, bytes]) -> list[Any]:
        """Return one event's part of the script's arguments."""
        conversation = fields[b"conversation"].decode()
        plan: list[Any] = [entry, fields[b"identity"], 0]
        try:
            routes = self._table.find(fields[b"category"].decode(), fields[b"body"])
        except NotJSON:  # intake lets no such body in; one written by hand must not stop all
            _log.error("an inbox entry has no JSON body", entry=entry.decode())
            return plan
        plan[2] = len(routes)
        for route in routes:
            plan += (route.handler, lane_of(route.handler, conversation))
        return plan

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
