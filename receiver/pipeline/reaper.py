"""The reaper: a lane that holds events but has no living job gets a new one.

A worker that dies takes its job with it, and a worker on several queues pops jobs without RQ's
reliable move, so a crash can lose a job. The events are in the lane all the while.

RQ's scheduler dies with its worker, too, and leaves a lock behind for a minute. A lane that rests is woken
when it is due, whoever is first.

A job for suspects lives only where a pool looks for it. If none comes, the lane gets an ordinary job, too:
a plain `rq worker` runs suspects with all the rest, and a pool's worker passes them on once more.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

import redis
import structlog

from receiver.pipeline import jobs, keys
from receiver.pipeline.connection import Client
from receiver.pipeline.lanes import LINGERING_MS
from receiver.pipeline.rollcall import RollCall

EVERY = 1.0
GRACE = 3.0
"""Seconds that a lane may look forsaken before it is woken: its job may just be on its way."""
SUSPECTS_GRACE = 30.0
"""Seconds that a lane whose only job is one for suspects may wait for a pool: it may have others to run."""
NO_OWNER = -2
"""The lease of a lane that nobody has. (What Redis says of a key that isn't there.)"""

_log = structlog.get_logger("receiver.reaper")


@dataclass(frozen=True, slots=True)
class Found:
    """A lane as it was found. `lease` is its owner's, in ms, or `NO_OWNER`; `due` is when the first of what
    waits apart in it may go on, in ms since the epoch, and `now` when it was found, both by Redis's clock.
    """

    state: bytes
    lease: int
    due: float
    now: float

    @property
    def is_owned(self) -> bool:
        """Whether it has an owner, dead or alive."""
        return self.lease != NO_OWNER

    @property
    def is_unheard(self) -> bool:
        """Whether the bell has rung for it, and a drain that lingers there hasn't come: it may be dead."""
        return self.state == b"active" and 0 <= self.lease <= LINGERING_MS

    @property
    def rests(self) -> bool:
        """Whether it sleeps until something is due."""
        return self._has_gone_to_rest and self.due > self.now

    @property
    def has_rested(self) -> bool:
        """Whether it sleeps, and something is due."""
        return self._has_gone_to_rest and self.due <= self.now

    @property
    def _has_gone_to_rest(self) -> bool:
        return self.state == b"resting" and not self.is_owned and self.due < math.inf


class Reaper:
    """Looks for forsaken lanes now and then."""

    def __init__(self, client: Client, blocking: redis.Redis) -> None:
        self._client = client
        self._blocking = blocking
        self._roll_call = RollCall(client)
        self._idle_since: dict[tuple[str, bool], float] = {}

    async def reap(self) -> list[str]:
        """Wake every lane that has looked forsaken for a while; return their names.

        So are lanes whose rest is over, and those whose owners' processes are gone.
        """
        now = time.monotonic()
        freed = await self._roll_call.free()
        found = await self._look()
        rested = await self._wake_rested(found)
        idle = await self._idle({lane: one for lane, one in found.items() if lane not in {*freed, *rested}})
        self._idle_since = {one: self._idle_since.get(one, now) for one in idle.items()}
        overdue = [
            (lane, suspects)
            for (lane, suspects), since in self._idle_since.items()
            if now - since >= (SUSPECTS_GRACE if suspects else GRACE) and not found[lane].is_owned
        ]
        if overdue:
            _log.warning("lanes without a living job are woken", lanes=[lane for lane, _ in overdue])
        lanes = [*freed, *(lane for lane, _ in overdue)]
        if lanes:
            await asyncio.to_thread(jobs.wake, self._blocking, lanes)
            for one in overdue:
                del self._idle_since[one]
        return [*rested, *lanes]

    async def watch(self) -> None:
        """Look who is missing: if the leader is gone, too, whoever leads next needn't wait for that."""
        await self._roll_call.look()

    async def forsaken(self) -> list[str]:
        """Return the lanes that have something to do, and neither a drain nor a job for one."""
        found = {lane: one for lane, one in (await self._look()).items() if not one.is_owned}
        return [lane for lane, suspects in (await self._idle(found)).items() if not suspects]

    async def _look(self) -> dict[str, Found]:
        """Look at every lane that has something to do."""
        lanes: dict[bytes, bytes] = await self._client.hgetall(keys.LANES)
        names = [lane.decode() for lane in lanes]
        pipeline = self._client.pipeline(transaction=False)
        pipeline.time()
        for name in names:
            pipeline.pttl(keys.lane(name, "owner"))
            pipeline.zrange(keys.lane(name, "held"), 0, 0, withscores=True)
            pipeline.zrange(keys.lane(name, "gathering"), 0, 0, withscores=True)
        (seconds, microseconds), *answers = await pipeline.execute()
        now = seconds * 1000 + microseconds / 1000
        each = zip(names, lanes.values(), answers[::3], answers[1::3], answers[2::3], strict=True)
        found = {}
        for name, state, lease, held, gathering in each:
            dues = [due for _, due in (*held, *gathering)]
            found[name] = Found(state, lease, min(dues, default=math.inf), now)
        return found

    async def _wake_rested(self, found: dict[str, Found]) -> list[str]:
        """Wake the lanes whose rest is over, where RQ's scheduler hasn't; return their names."""
        return [
            lane
            for lane, one in found.items()
            if one.has_rested and await asyncio.to_thread(jobs.wake_due, self._blocking, lane, one.due)
        ]

    async def _idle(self, found: dict[str, Found]) -> dict[str, bool]:
        """Return the lanes that have something to do, and neither a drain that comes nor an ordinary job.

        With each goes whether a job for suspects waits.
        """
        idle = {}
        for name, one in found.items():
            if (one.is_owned and not one.is_unheard) or one.rests:
                continue
            if not await asyncio.to_thread(jobs.has_job, self._blocking, name):
                idle[name] = await asyncio.to_thread(jobs.has_job, self._blocking, name, suspects=True)
        return idle
