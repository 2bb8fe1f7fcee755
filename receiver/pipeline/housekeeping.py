"""Housekeeping: finished events leave Redis after the retention time, or when the inbox gets full.

The inbox is trimmed from its old end, up to the first event that a lane still holds or that isn't
dispatched yet; behind that one, finished events are dropped one by one (`sweeping.py`). Dead letters have
a copy of their own, and keep their history; that of a letter which was retried goes when its delivery has
ended.
"""

from __future__ import annotations

import structlog

from receiver.pipeline import keys, room, sweeping
from receiver.pipeline.connection import Client, Script

EVERY = 30.0
LOOKS_EVERY = 1.0
"""Seconds between looks at Redis's memory: a backlog that is handled can fill it quickly."""
PAGE = 100
NO_RETENTION = -(10**12)
"""Milliseconds: everything is older, also where a clock was set back."""

_log = structlog.get_logger("receiver.housekeeping")


class Housekeeper:
    """Trims the inbox. `retention` is in seconds, `limit` is the inbox's, in events; 0 is none."""

    _trim = Script("trim")
    _bury = Script("bury")

    def __init__(self, client: Client, retention: float, limit: int = 0) -> None:
        self._client = client
        self._retention = round(retention * 1000)
        self._limit = limit

    async def trim(self) -> int:
        """Drop what is finished and older than the retention time; return how many events went.

        Where the inbox holds more than three quarters of its limit, finished events go before that.
        """
        dropped = 0
        while count := await self._drop(self._retention, PAGE):
            dropped += count
        dropped += await sweeping.sweep(self._client, self._retention)
        if dropped:
            _log.info("events past their retention were dropped", events=dropped)
        return dropped + await self._shorten()

    async def bury(self) -> int:
        """Drop the letters that were retried with success, or have died again; return how many deliveries.

        The letter itself stays as long as another delivery needs it.
        """
        first, buried = 0, 0
        while True:
            looked, ended = await self._bury.run(
                self._client,
                [keys.DEAD, keys.REVIVED, keys.INBOX, keys.LANES],
                [keys.PREFIX, first, first + PAGE - 1],
            )
            buried += ended
            if looked < PAGE:
                return int(buried)
            first += looked - ended

    async def make_room(self) -> int:
        """Drop finished events while Redis has little memory left; return how many went."""
        dropped = 0
        while (used := await room.used(self._client)) > room.NEARLY:
            count = await self._drop(NO_RETENTION, PAGE)
            dropped += count
            if not count:
                break
        if dropped:
            _log.warning(
                "Redis is nearly full: finished events were dropped before their retention",
                events=dropped,
                used=f"{used:.0%} of maxmemory",
            )
        return dropped

    async def _shorten(self) -> int:
        if not self._limit:
            return 0
        length = int(await self._client.xlen(keys.INBOX))
        excess = length - int(self._limit * room.NEARLY)
        dropped = 0
        while dropped < excess and (count := await self._drop(NO_RETENTION, min(PAGE, excess - dropped))):
            dropped += count
        if dropped:
            _log.warning(
                "the inbox is nearly full: finished events were dropped before their retention",
                events=dropped,
                left=length - dropped,
                limit=self._limit,
            )
        return dropped

    async def _drop(self, retention: int, most: int) -> int:
        names = [keys.INBOX, keys.CURSOR, keys.LANES, keys.FINISHED, keys.ROUTINGS]
        return int(await self._trim.run(self._client, names, [keys.PREFIX, retention, most]))
