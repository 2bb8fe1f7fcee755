"""The feeder: appends many events to the inbox, each once, though answers may be lost, and room be scarce."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from redis.exceptions import RedisError

from receiver.errors import NotStored
from receiver.events.envelope import Envelope
from receiver.pipeline import keys, room
from receiver.pipeline.connection import Client
from receiver.pipeline.marks import Mark
from receiver.pipeline.sealing import sealed
from receiver.pipeline.writer import Writer, fence

PATIENCE = 60.0
"""Seconds that a group waits for Redis, and for room in it and in the inbox."""
PAUSE = 0.5


class Feeder:
    """Appends groups. `limit` is the inbox's, in events; 0 is none."""

    def __init__(self, client: Client, *, limit: int) -> None:
        self._client = client
        self._writer = Writer(client, limit=limit)

    async def append(self, envelopes: Sequence[Envelope], marks: Sequence[Mark] = ()) -> int:
        """Append the first of these, as many as the inbox has room for: those or nothing. Of replays, `marks`
        has one for each. Return how many there were, at least one.

        Raises:
            NotStored: Redis or the inbox had no room for too long.
            RedisError, OSError: Redis was away for too long. Whether they were stored isn't known.
        """
        deadline = time.monotonic() + PATIENCE
        stored = [mark.to_json() for mark in marks]
        envelopes = [sealed(one, self._client.keyring) for one in envelopes]
        while True:
            number, fit = self._writer.next_group(), 0
            try:
                fit = await self._room(len(envelopes))
                await self._writer.append(envelopes[:fit], number, marks=stored[:fit])
            except NotStored:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(PAUSE)
            except (RedisError, OSError):
                if await self._last_group(deadline) >= number:
                    return fit
                if time.monotonic() > deadline:
                    raise
            else:
                return fit

    async def _room(self, wanted: int) -> int:
        """Return how many of the `wanted` events can be appended now. Where the inbox has no room it is one:
        the writer refuses that, and says why.

        Raises:
            NotStored: Redis is full. Workers need the rest.
        """
        used = await room.used(self._client)
        if used >= room.FULL:
            raise NotStored(
                f"Redis is full: {used:.0%} of its maxmemory are used, and workers need the rest. Raise it, "
                "or wait until they have finished what is there (`receiver doctor`), and try again."
            )
        limit = self._writer.limit
        return max(1, min(wanted, limit - int(await self._client.xlen(keys.INBOX)))) if limit else wanted

    async def _last_group(self, deadline: float) -> int:
        """Return the last group that the writer has appended, and go on with another writer."""
        while True:
            try:
                last = await fence(self._client, self._writer.name)
            except (RedisError, OSError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(PAUSE)
            else:
                self._writer = Writer(self._client, limit=self._writer.limit)
                return last
