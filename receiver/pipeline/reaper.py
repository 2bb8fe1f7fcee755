"""The reaper: a lane that holds events but has no living job gets a new one.

A worker that dies takes its job with it, and a worker on several queues pops jobs without RQ's
reliable move, so a crash can lose a job. The events are in the lane all the while.
"""

from __future__ import annotations

import asyncio
import time

import redis
import structlog

from receiver.pipeline import jobs, keys
from receiver.pipeline.connection import Client

EVERY = 1.0
GRACE = 3.0
"""Seconds that a lane may look forsaken before it is woken: its job may just be on its way."""

_log = structlog.get_logger("receiver.reaper")


class Reaper:
    """Looks for forsaken lanes now and then."""

    def __init__(self, client: Client, blocking: redis.Redis) -> None:
        self._client = client
        self._blocking = blocking
        self._forsaken_since: dict[str, float] = {}

    async def reap(self) -> list[str]:
        """Wake every lane that has looked forsaken for a while; return their names."""
        now = time.monotonic()
        forsaken = await self._forsaken()
        self._forsaken_since = {lane: self._forsaken_since.get(lane, now) for lane in forsaken}
        overdue = [lane for lane, since in self._forsaken_since.items() if now - since >= GRACE]
        if overdue:
            _log.warning("lanes without a living job are woken", lanes=overdue)
            await asyncio.to_thread(jobs.wake, self._blocking, overdue)
            for lane in overdue:
                del self._forsaken_since[lane]
        return overdue

    async def _forsaken(self) -> list[str]:
        lanes: dict[bytes, bytes] = await self._client.hgetall(keys.LANES)
        names = [lane.decode() for lane in lanes]
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.exists(keys.lane(name, "owner"))
            pipeline.zrange(keys.lane(name, "held"), 0, 0, withscores=True)
            pipeline.zrange(keys.lane(name, "gathering"), 0, 0, withscores=True)
        answers = await pipeline.execute()
        forsaken = []
        each = zip(names, lanes.values(), answers[::3], answers[1::3], answers[2::3], strict=True)
        for name, state, owned, held, gathering in each:
            dues = [due for _, due in (*held, *gathering)]
            resting = state == b"resting" and dues and min(dues) > time.time() * 1000
            if owned or resting:
                continue
            if not await asyncio.to_thread(jobs.has_job, self._blocking, name):
                forsaken.append(name)
        return forsaken
