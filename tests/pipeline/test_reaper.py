"""The reaper: a lane that holds events but has no living job gets a new one."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from receiver.pipeline import jobs, keys, reaper, routes
from receiver.pipeline.lanes import LEASE_MS, LINGERING_MS
from receiver.pipeline.reaper import Reaper


@pytest.fixture(autouse=True)
def no_grace(monkeypatch):
    monkeypatch.setattr(reaper, "GRACE", 0.0)


@pytest.fixture
async def waiting(road):
    """A lane with one event and its RQ job; gives the lane's name and its queue."""

    async def handler(event, context):
        context.retry_after(3600)

    road.handlers.on("*", name="h")(handler)
    await road.append()
    await road.dispatch()
    lane = routes.lane_of("test.h", "c1")
    return lane, Queue(routes.queue_of("test.h"), connection=road.blocking, serializer=JSONSerializer)


async def test_a_lane_whose_job_waits_is_left_alone(road, waiting):
    """While a drain waits in its RQ queue, nothing is done."""
    _, queue = waiting
    assert await Reaper(road.client, road.blocking).reap() == []
    assert len(queue.jobs) == 1


async def test_a_lane_that_lost_its_job_gets_a_new_one(road, waiting):
    """A job that vanished between queue and worker is replaced."""
    lane, queue = waiting
    queue.empty()
    assert await Reaper(road.client, road.blocking).reap() == [lane]
    assert [job.args for job in queue.jobs] == [[lane]]


async def test_a_lane_gets_time_before_it_is_woken(road, waiting, monkeypatch):
    """A lane that looks forsaken for a moment may just have its job on its way."""
    _, queue = waiting
    queue.empty()
    monkeypatch.setattr(reaper, "GRACE", 3600)
    assert await Reaper(road.client, road.blocking).reap() == []
    assert queue.jobs == []


async def test_a_lane_whose_suspects_nobody_takes_gets_an_ordinary_job(road, waiting, monkeypatch):
    """Where only a pool would look, and none does, any worker gets it: once in a while, and not at once."""
    lane, queue = waiting
    now = [100.0]
    monkeypatch.setattr(reaper, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    overseer = Reaper(road.client, road.blocking)
    for _ in range(2):
        queue.empty()
        jobs.wake(road.blocking, [lane], suspects=True)  # or a pool's worker has passed it on
        assert await overseer.reap() == []
        now[0] += reaper.SUSPECTS_GRACE - 1
        assert await overseer.reap() == []
        assert await overseer.forsaken() == []
        now[0] += 1
        assert await overseer.reap() == [lane]
        assert [job.args for job in queue.jobs] == [[lane]]
        assert await overseer.reap() == []


async def test_a_lane_with_an_owner_is_left_alone(road, waiting):
    """A running drain needs no second one."""
    lane, queue = waiting
    queue.empty()
    await road.client.set(keys.lane(lane, "owner"), "somebody")
    assert await Reaper(road.client, road.blocking).reap() == []


async def test_a_resting_lane_sleeps_until_it_is_due(road, waiting):
    """A lane that waits for a retry is woken only when its time has passed."""
    lane, queue = waiting
    await road.drain()
    queue.empty()
    overseer = Reaper(road.client, road.blocking)
    assert await overseer.reap() == []
    await road.client.zadd(keys.lane(lane, "held"), {"c1": time.time() * 1000 - 1})
    assert await overseer.reap() == [lane]


async def test_a_lane_whose_rest_is_over_is_woken_without_a_scheduler(road, waiting, monkeypatch):
    """What RQ's scheduler was told, and hasn't done, is done at once, and once: it may have died."""
    monkeypatch.setattr(reaper, "GRACE", 3600)
    lane, queue = waiting
    await road.drain()
    queue.empty()
    due = float(round(time.time() * 1000) - 1)
    await road.client.zadd(keys.lane(lane, "held"), {"c1": due})
    overseer = Reaper(road.client, road.blocking)
    assert await overseer.reap() == []  # nobody was told
    jobs.wake_at(road.blocking, lane, due)
    assert await overseer.reap() == [lane]
    assert [job.args for job in queue.jobs] == [[lane]]
    assert len(queue.scheduled_job_registry) == 0
    assert await overseer.reap() == []


async def test_a_lane_that_rests_is_left_to_its_time(road, waiting, monkeypatch):
    """A scheduled drain isn't begun before it is due, whatever the clock of the leader's machine says."""
    hasty = SimpleNamespace(monotonic=time.monotonic, time=lambda: time.time() + 3600)
    monkeypatch.setattr(reaper, "time", hasty)
    lane, queue = waiting
    await road.drain()
    queue.empty()
    [(_, due)] = await road.client.zrange(keys.lane(lane, "held"), 0, -1, withscores=True)
    jobs.wake_at(road.blocking, lane, due)
    assert await Reaper(road.client, road.blocking).reap() == []
    assert len(queue.scheduled_job_registry) == 1


@pytest.mark.parametrize(
    ("lease", "woken"), [(LINGERING_MS, True), (LEASE_MS, False)], ids=["lingering", "taking turns"]
)
async def test_the_end_of_a_lingering_lease_is_waited_for_once(road, waiting, monkeypatch, lease, woken):
    """While a drain lingers that doesn't come, the lane's time runs; and it waits for its lease's end."""
    lane, queue = waiting
    queue.empty()
    now = [100.0]
    monkeypatch.setattr(reaper, "GRACE", 3.0)
    monkeypatch.setattr(reaper, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    await road.client.set(keys.lane(lane, "owner"), "somebody", px=lease)
    overseer = Reaper(road.client, road.blocking)
    assert await overseer.reap() == []
    now[0] += 3
    assert await overseer.reap() == []
    await road.client.delete(keys.lane(lane, "owner"))
    assert await overseer.reap() == ([lane] if woken else [])


async def test_a_scheduled_drain_is_kept_by_rqs_scheduler(road, waiting):
    """A retry is a scheduled RQ job, at the whole second after its time."""
    lane, queue = waiting
    jobs.wake_at(road.blocking, lane, 1_900_000_000_001)
    [job_id] = queue.scheduled_job_registry.get_job_ids()
    assert queue.scheduled_job_registry.get_scheduled_time(job_id).timestamp() == 1_900_000_001
