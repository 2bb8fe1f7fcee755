"""When the lanes of batches are woken."""

from __future__ import annotations

import time

import pytest

from receiver.pipeline import gathering, jobs, keys, reaper
from receiver.pipeline.reaper import Reaper
from tests.pipeline.collecting import DIGEST, Collecting, due, lane_of, queue_of, scheduled, unschedule


class TestWaking:
    """A lane is woken when the first of its batches is due."""

    async def test_the_first_event_schedules_a_drain(self, plugin, road):
        """A lane without anything is scheduled; later closes schedule no more."""
        before = time.time()
        await plugin.send(0, "ada")
        [(lane, when)] = scheduled(road)
        assert lane == lane_of("ada")
        assert before + 3600 <= when <= time.time() + 3601
        assert await road.client.hget(keys.LANES, lane) == b"resting"
        unschedule(road)
        mate = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane)
        await plugin.send(1, "ada", mate)
        assert scheduled(road) == []

    async def test_an_earlier_close_schedules_an_earlier_drain(self, plugin, road):
        """A batch that closes before everything that the lane waits for has it woken then."""
        await plugin.send(0, "ada")
        name = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("ada"))
        lane = lane_of(name)
        await road.client.hset(keys.lane(lane, f"gathered:{name}"), "since", 1)  # `longest` is long over
        await road.client.hset(keys.lane(lane, f"gathered:{name}"), "0-1", "")
        await plugin.send(1, name)
        assert [job.args for job in queue_of(road).jobs] == [[lane]]
        assert await road.client.hget(keys.LANES, lane) == b"active"

    async def test_a_lane_that_rests_for_a_retry_is_woken_earlier(self, road):
        """A batch that closes before a retry of its lane is due schedules a drain; one after it doesn't."""
        plugin = Collecting(road, quiet=100, longest=100)
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        name = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("ada"))
        now = time.time() * 1000
        unschedule(road)
        await road.client.zadd(keys.lane(lane_of("ada"), "held"), {"ada": now + 50_000})
        await plugin.send(1, name)
        assert scheduled(road) == []
        await plugin.cancel(2, name)
        await road.client.zadd(keys.lane(lane_of("ada"), "held"), {"ada": now + 500_000})
        await plugin.send(3, name)
        [(lane, when)] = scheduled(road)
        assert lane == lane_of(name)
        assert when <= time.time() + 101

    async def test_a_blocked_key_wakes_nothing(self, plugin, road):
        """What can't close yet, since its key's batch waits for a retry, has its lane not woken."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        unschedule(road)
        await plugin.send(1, "ada")
        assert (scheduled(road), queue_of(road).job_ids) == ([], [])
        assert await road.client.hget(keys.LANES, lane_of("ada")) == b"resting"

    async def test_an_active_lane_is_not_woken(self, road):
        """A lane with a drain or a job looks for itself."""
        plugin = Collecting(road, quiet=0, longest=0)
        await plugin.send(0, "ada")
        for _ in range(3):
            await plugin.send(1, "ada")
        assert len(queue_of(road).job_ids) == 1

    async def test_a_released_lane_is_due_with_its_first_batch(self, plugin, road):
        """A drain that leaves a lane says when its first batch closes."""
        await plugin.send(0, "ada")
        [left] = (await plugin.drain()).values()
        assert (left.state, left.due) == ("resting", await due(road, "ada"))
        assert await road.client.hget(keys.LANES, lane_of("ada")) == b"resting"

    @pytest.mark.parametrize(("retry", "close"), [(50_000, 60_000), (60_000, 50_000)])
    async def test_a_released_lane_is_due_with_whatever_is_first(self, plugin, road, retry, close):
        """A lane that waits for a retry and a close is due with the earlier one."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        mate = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("ada"))
        await plugin.send(1, mate)
        now = round(time.time() * 1000)
        await road.client.zadd(keys.lane(lane_of("ada"), "held"), {"ada": now + retry})
        await road.client.zadd(keys.lane(lane_of("ada"), "gathering"), {mate: now + close})
        [left] = (await plugin.drain()).values()
        assert (left.state, left.due) == ("resting", now + 50_000)

    async def test_the_reaper_finds_a_lane_whose_wake_up_was_lost(self, plugin, road, monkeypatch):
        """A process that died between gathering and waking costs seconds; nothing is woken too early."""
        monkeypatch.setattr(reaper, "GRACE", 0.0)
        monkeypatch.setattr(gathering, "_wake", lambda *_: None)
        await plugin.send(0, "ada")
        overseer = Reaper(road.client, road.blocking)
        assert await overseer.reap() == []
        await road.client.zadd(keys.lane(lane_of("ada"), "gathering"), {"ada": 1})
        assert await overseer.reap() == [lane_of("ada")]
        assert [job.args for job in queue_of(road).jobs] == [[lane_of("ada")]]

    async def test_the_reaper_finds_a_lost_wake_up_at_once(self, road, monkeypatch):
        """So does one that died before it woke a lane for a batch that is due at once."""
        monkeypatch.setattr(reaper, "GRACE", 0.0)
        monkeypatch.setattr(gathering, "_wake", lambda *_: None)
        plugin = Collecting(road, most=1)
        await plugin.send(0, "ada")
        assert await Reaper(road.client, road.blocking).reap() == [lane_of("ada")]

    async def test_waking_speaks_rqs_language(self, road):
        """Lanes that are due are enqueued, those that are due later scheduled."""
        gathering._wake(road.blocking, [(f"{DIGEST}/1", 0), (f"{DIGEST}/2", 1_900_000_000_001.0)])
        assert [job.args for job in queue_of(road).jobs] == [[f"{DIGEST}/1"]]
        assert scheduled(road) == [(f"{DIGEST}/2", 1_900_000_001)]
        assert jobs.has_job(road.blocking, f"{DIGEST}/1")
