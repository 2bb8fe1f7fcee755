"""Emptying the spool: what it holds goes into the inbox, in its order, when Redis can take it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from receiver.errors import NotStored
from receiver.pipeline import room
from receiver.pipeline.connection import Client
from receiver.pipeline.sealing import sealed
from receiver.pipeline.spool import CERTAIN, Spool, Spooled
from receiver.pipeline.writer import GROUP_BYTES, GROUP_LIMIT, Unanswered, Writers, fence
from receiver.seldom import Seldom

OnDisk = Callable[..., Awaitable[Any]]
"""Runs a blocking function of the spool, with its arguments, in the spool's thread."""

_log = structlog.get_logger("receiver.storage")


class Emptier:
    """Empties the spool of one process, with writers of its own. `limit` is the inbox's, in events."""

    def __init__(self, client: Client, on_disk: OnDisk, *, limit: int) -> None:
        self._client = client
        self._on_disk = on_disk
        self._writers = Writers(client, limit=limit)
        self._at_once = GROUP_LIMIT
        self._seldom = Seldom()

    async def empty(self, spool: Spool) -> None:
        """Bring the spool's events into the inbox as far as that has room, unless another process does so.

        What stands in the way is told, and is no error: it is tried again.
        """
        try:
            await self._empty(spool)
        except NotStored as error:
            if self._seldom("waits"):
                _log.warning("the spool waits for the inbox", error=str(error))
        except (Unanswered, RedisConnectionError, RedisTimeoutError, OSError):
            pass  # Redis is away: that is told where events go to the spool
        except RedisError as error:
            if self._seldom("refused"):
                _log.error("the spool can't be emptied: Redis refuses a command", error=str(error)[:200])
        except Exception:
            if self._seldom("unexpected"):
                _log.exception("the spool can't be emptied")

    async def _empty(self, spool: Spool) -> None:
        with spool.emptying() as alone:
            if not alone:
                return
            began, moved = time.monotonic(), 0
            while spool.holds:
                if await room.used(self._client) >= room.FULL:
                    raise NotStored("Redis is nearly full (maxmemory)")
                moved += await self._move_some(spool)
            await self._on_disk(spool.shrink)
            _log.info("the spool is empty again", events=moved, took=f"{time.monotonic() - began:.1f} s")

    async def _move_some(self, spool: Spool) -> int:
        """Bring the oldest events into the inbox; return how many left the spool.

        Before they go they are marked with their group, so that after a crash at any point it can be told
        whether they arrived.
        """
        events: list[Spooled] = await self._on_disk(spool.first, self._at_once, GROUP_BYTES)
        if not events:
            await self._on_disk(spool.settle)
            return 0
        group = events[0].group
        if group == CERTAIN or await fence(self._client, group.writer) < group.number:
            try:
                # What was spooled before there were keys is sealed now; the rest stays as it is.
                await self._writers.append(
                    [sealed(one.envelope, self._client.keyring) for one in events],
                    lambda group: self._on_disk(spool.mark, events, group),
                )
            except NotStored:  # Redis has answered: they are not there
                await self._on_disk(spool.mark, events, CERTAIN)
                if len(events) == 1:
                    raise
                self._at_once = len(events) // 2
                return 0
        self._at_once = min(GROUP_LIMIT, self._at_once * 2)
        await self._on_disk(spool.remove, events)
        return len(events)
