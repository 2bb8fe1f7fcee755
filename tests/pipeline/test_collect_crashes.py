"""Batches through what may happen to workers, lanes and Redis."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from receiver.embedded import EmbeddedRedis
from receiver.errors import Fenced
from receiver.pipeline import keys
from receiver.pipeline.connection import connect, connect_blocking
from receiver.pipeline.lanes import Lane
from tests.pipeline.collecting import GATHER, Collecting, crash, due, lane_of, let_time_pass
from tests.pipeline.conftest import Road


class TestCrashes:
    """Batches survive what events survive."""

    async def test_a_drain_that_dies_with_a_batch(self, plugin, road):
        """A batch whose drain died is handed over by another, with its id; the next one waits for it."""
        await plugin.send(0, "ada")
        await road.client.zadd(keys.lane(lane_of("ada"), "gathering"), {"ada": 1})
        [taken] = await crash(road, lane_of("ada"), plugin.collect.window)
        await plugin.send(1, "ada")
        await plugin.finish()
        assert plugin.batches == [("ada", [0]), ("ada", [1])]
        assert plugin.begun[0][2] == taken.envelope.id
        delivery = await road.delivery(taken.envelope.id)
        assert [one.outcome for one in delivery.attempts] == ["cut off", "done"]

    async def test_a_drain_that_was_taken_over_closes_nothing(self, plugin, road):
        """A drain with a lost lease is fenced before it closes a batch."""
        await plugin.send(0, "ada")
        lane = Lane(road.client, lane_of("ada"), plugin.collect.window)
        await lane.begin()
        await road.client.set(keys.lane(lane.name, "owner"), "another")
        await road.client.zadd(keys.lane(lane.name, "gathering"), {"ada": 1})
        with pytest.raises(Fenced):
            await lane.turn([], want=1, share=1, enough=[])
        assert await road.client.llen(keys.lane(lane.name, "queue")) == 0
        assert await due(road, "ada") == 1

    async def test_a_drain_taken_over_while_it_runs_a_batch(self, plugin, road):
        """The heir runs the batch again; what the late one says of it changes nothing."""
        plugin.gate = asyncio.Event()
        await plugin.send(0, "ada")
        await road.client.zadd(keys.lane(lane_of("ada"), "gathering"), {"ada": 1})
        late = asyncio.create_task(road.drain_lane(lane_of("ada")))
        while not plugin.begun:
            await asyncio.sleep(0.005)
        await road.client.delete(keys.lane(lane_of("ada"), "owner"))
        heir = road.drain_of(lane_of("ada"))
        assert await heir.begin()
        await plugin.send(1, "ada")
        plugin.gate.set()
        with pytest.raises(Fenced):
            await late
        await let_time_pass(road, lane_of("ada"))
        await heir.run()
        assert plugin.batches == [("ada", [0]), ("ada", [0]), ("ada", [1])]
        assert plugin.begun[0] == plugin.begun[1]

    async def test_a_stopping_drain_leaves_what_is_due(self, plugin, road):
        """A drain that stops closes nothing more, and says that there is more to do."""
        await plugin.send(0, "ada")
        await road.client.zadd(keys.lane(lane_of("ada"), "gathering"), {"ada": 1})
        road.stopping = True
        assert [left.state for left in (await plugin.drain()).values()] == ["more"]
        assert plugin.batches == []
        road.stopping = False
        assert [left.state for left in (await plugin.drain()).values()] == ["empty"]
        assert plugin.batches == [("ada", [0])]

    async def test_two_workers_share_the_lanes(self, road, client):
        """Two workers that drain at once hand over each batch once."""
        plugin = Collecting(road, quiet=0, longest=0, most=3)
        names = [f"k{n}" for n in range(40)]
        for n in range(4):
            await road.append(n=n, gather=names)
        await road.dispatch()
        drains = [road.drain_of(lane) for lane in await plugin.lanes(GATHER) for _ in range(2)]
        await asyncio.gather(*[one.run() for one in drains if await one.begin()])
        drains = [road.drain_of(lane) for lane in await plugin.lanes() for _ in range(2)]
        begun = [one for one in drains if await one.begin()]
        assert len(begun) == len(drains) / 2
        await asyncio.gather(*[one.run() for one in begun])
        await plugin.finish()
        assert sorted(plugin.batches) == sorted((name, ns) for name in names for ns in ([0, 1, 2], [3]))

    async def test_redis_restarts(self, tmp_path):
        """What is gathered, closed and blocked is as before when Redis was killed and has come back."""
        server = EmbeddedRedis(tmp_path, fsync="always")
        server.start()
        client, blocking = connect(server.url), connect_blocking(server.url)
        try:
            road = Road(client, blocking)
            plugin = Collecting(road)
            plugin.fail = {"ada": 1}
            await plugin.send(0, "ada")
            await plugin.digest()
            await plugin.send(1, "ada", "ben")
            before = await due(road, "ada"), await due(road, "ben")
            server._process.kill()
            server._process.wait()
            server.start()
            for one in (client.ping, lambda: asyncio.to_thread(blocking.ping)):
                with suppress(RedisConnectionError):  # the old connection is gone
                    await one()
            assert (await due(road, "ada"), await due(road, "ben")) == before
            await plugin.finish()
            assert sorted(plugin.batches) == [("ada", [0]), ("ada", [1]), ("ben", [1])]
        finally:
            await client.aclose()
            blocking.close()
            server.stop()
