"""What the tests of collects share: a gathering handler, a handler of batches, time that can be turned."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from receiver.pipeline import keys, routes
from receiver.pipeline.inbox import is_before
from receiver.pipeline.lanes import Lane
from receiver.plugins import Handlers

GATHER = "test.gather"
DIGEST = "test.digest"


class Collecting:
    """A plugin that does with each event what its body says, and writes down the batches.

    Body: `gather` and `cancel` are lists of keys, `only` the conversation of a cancel; `fail` is how many
    of the event's attempts fail after that.
    """

    def __init__(self, road, *, quiet=3600, longest=86_400, most=1000, **options):
        self.road = road
        self.begun = []
        self.batches = []
        self.running = set()
        self.fail = {}
        self.gate = None
        self.attempts = []
        road.handlers = Handlers("test")

        async def digest(batch, context):
            assert batch.key not in self.running, "two batches of a key at once"
            self.running.add(batch.key)
            try:
                await self._digest(batch, context)
            finally:
                self.running.discard(batch.key)

        async def gather(event, context):
            self.attempts.append((event.raw["n"], context.attempt))
            if "gather" in event.raw:
                await context.gather(self.collect, *event.raw["gather"])
            if "cancel" in event.raw:
                await context.cancel(self.collect, *event.raw["cancel"], conversation=event.raw.get("only"))
            if context.attempt <= event.raw.get("fail", 0):
                context.retry_after(3600)

        self.collect = road.handlers.collect(
            quiet=quiet, longest=longest, most=most, **{"retries": 1000, **options}
        )(digest)
        road.handlers.on("*", name="gather", retries=1000)(gather)

    async def _digest(self, batch, context):
        self.begun.append((batch.key, [event.raw["n"] for event in batch.events], batch.id))
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.fail.get(batch.key, 0):
            self.fail[batch.key] -= 1
            context.retry_after(3600)
        self.batches.append((batch.key, [event.raw["n"] for event in batch.events]))

    async def send(self, n, *names, conversation="c1", **body):
        """Have event `n` gathered under `names`."""
        event_id = await self.road.append(conversation, n=n, gather=names, **body)
        await self.gather()
        return event_id

    async def cancel(self, n, *names, conversation="c1", **body):
        """Have event `n` cancel `names`."""
        event_id = await self.road.append(conversation, n=n, cancel=names, **body)
        await self.gather()
        return event_id

    async def gather(self):
        """Dispatch, and run the gathering handler until nothing is left for it."""
        await self.road.dispatch()
        while lanes := await self.lanes(GATHER):
            for lane in lanes:
                await let_time_pass(self.road, lane)
                await self.road.drain_lane(lane)

    async def lanes(self, handler=DIGEST):
        return [lane for lane in await self.road.lanes() if lane.rpartition("/")[0] == handler]

    async def digest(self):
        """Let all windows and waits end, and drain every lane of batches once; return how they were left."""
        left = {}
        for lane in await self.lanes():
            await let_time_pass(self.road, lane)
            left[lane] = await self.road.drain_lane(lane)
        return left

    async def finish(self):
        """Let time pass until no lane holds anything."""
        await self.gather()
        while await self.lanes():
            await self.digest()

    async def drain(self):
        """Drain every lane of batches once, now."""
        return {lane: await self.road.drain_lane(lane) for lane in await self.lanes()}

    async def of(self, name):
        """Return the history of the only batch of `name` in the inbox."""
        [found] = [
            one.id
            for _, one in await self.road.inbox.latest(1000)
            if one.source == "batch" and one.conversation == name
        ]
        return await self.road.history(found)

    async def left(self):
        """Return the keys in Redis that are left of lanes."""
        found = {key.decode() for key in await self.road.client.keys(keys.PREFIX + "lane*")}
        return sorted(found - {keys.LANES})


async def let_time_pass(road, lane):
    """End the waits of a lane, and the windows of what is gathered in it."""
    for part in ("held", "gathering"):
        for name, due in await road.client.zrange(keys.lane(lane, part), 0, -1, withscores=True):
            if due != float("inf"):
                blocked = keys.BLOCKED if due >= keys.BLOCKED else 0
                await road.client.zadd(keys.lane(lane, part), {name: blocked + 1})


async def crash(road, lane, window):
    """Take what a lane of batches has, closing what is due, and die without a word."""
    dead = Lane(road.client, lane, window)
    assert await dead.begin() is not None
    taken = await dead.turn([], want=256, share=16, enough=[])
    await road.client.delete(keys.lane(lane, "owner"))  # its lease runs out
    return taken.events


def in_order(entries):
    return all(is_before(one, other) for one, other in pairwise(entries))


def lane_of(name):
    return routes.lane_of(DIGEST, name)


def queue_of(road, handler=DIGEST):
    return Queue(routes.queue_of(handler), connection=road.blocking, serializer=JSONSerializer)


def scheduled(road):
    """Return the lanes of scheduled drains with their times."""
    registry = queue_of(road).scheduled_job_registry
    found = []
    for job_id in registry.get_job_ids():
        job = Job.fetch(job_id, connection=road.blocking, serializer=JSONSerializer)
        found.append((job.args[0], registry.get_scheduled_time(job_id).timestamp()))
    return sorted(found)


def unschedule(road):
    """Forget the scheduled drains."""
    for job_id in queue_of(road).scheduled_job_registry.get_job_ids():
        queue_of(road).scheduled_job_registry.remove(job_id)


async def next_millisecond(road):
    async def now():
        seconds, microseconds = await road.client.time()
        return seconds * 1000 + microseconds // 1000

    began = await now()
    while await now() == began:
        pass


async def due(road, name):
    return await road.client.zscore(keys.lane(lane_of(name), "gathering"), name)


async def nothing(batch, context):
    """A handler of batches."""
