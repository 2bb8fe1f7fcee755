"""The reaper: a lane that holds events but has no living job gets a new one.

A worker that dies takes its job with it, and a worker on several queues pops jobs without RQ's
reliable move, so a crash can lose a job. The events are in the lane all the while.

A job for suspects lives only where a pool looks for it. If none comes, the lane gets an ordinary job, too:
a plain `rq worker` runs suspects with all the rest, and a pool's worker passes them on once more.
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
SUSPECTS_GRACE = 30.0
"""Seconds that a lane whose only job is one for suspects may wait for a pool: it may have others to run."""

_log = structlog.get_logger("receiver.reaper")


class Reaper:
    """Looks for forsaken lanes now and then."""

    def __init__(self, client: Client, blocking: redis.Redis) -> None:
        self._client = client
        self._blocking = blocking
        self._idle_since: dict[tuple[str, bool], float] = {}

    async def reap(self) -> list[str]:
        """Wake every lane that has looked forsaken for a while; return their names."""
        now = time.monotonic()
        idle = await self._idle()
        self._idle_since = {one: self._idle_since.get(one, now) for one in idle.items()}
        overdue = [
            (lane, suspects)
            for (lane, suspects), since in self._idle_since.items()
            if now - since >= (SUSPECTS_GRACE if suspects else GRACE)
        ]
        lanes = [lane for lane, _ in overdue]
        if lanes:
            _log.warning("lanes without a living job are woken", lanes=lanes)
            await asyncio.to_thread(jobs.wake, self._blocking, lanes)
            for one in overdue:
                del self._idle_since[one]
        return lanes

    async def forsaken(self) -> list[str]:
        """Return the lanes that have something to do, and neither a drain nor a job for one."""
        return [lane for lane, suspects in (await self._idle()).items() if not suspects]

    async def _idle(self) -> dict[str, bool]:
        """Return the lanes that have something to do, and neither a drain nor an ordinary job.

        With each goes whether a job for suspects waits.
        """
        lanes: dict[bytes, bytes] = await self._client.hgetall(keys.LANES)
        names = [lane.decode() for lane in lanes]
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.exists(keys.lane(name, "owner"))
            pipeline.zrange(keys.lane(name, "held"), 0, 0, withscores=True)
            pipeline.zrange(keys.lane(name, "gathering"), 0, 0, withscores=True)
        answers = await pipeline.execute()
        idle = {}
        each = zip(names, lanes.values(), answers[::3], answers[1::3], answers[2::3], strict=True)
        for name, state, owned, held, gathering in each:
            dues = [due for _, due in (*held, *gathering)]
            resting = state == b"resting" and dues and min(dues) > time.time() * 1000
            if owned or resting:
                continue
            if not await asyncio.to_thread(jobs.has_job, self._blocking, name):
                idle[name] = await asyncio.to_thread(jobs.has_job, self._blocking, name, suspects=True)
        return idle
