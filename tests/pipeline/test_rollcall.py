"""The roll call: lanes of workers that are gone don't wait for their leases."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from receiver.pipeline import keys, rollcall
from receiver.pipeline.bell import Listener
from receiver.pipeline.connection import connect
from receiver.pipeline.lanes import LEASE_MS, Lane
from receiver.pipeline.rollcall import LOOKS, RollCall
from tests.pipeline.lingering import LANE, until

WORKER = "w1"
SIGNED = rollcall.sign(WORKER)


class Caller:
    """Calls the roll again and again, while the lane's lease runs."""

    def __init__(self, client):
        self.client = client
        self.roll = RollCall(client)
        self.lease = LEASE_MS

    async def free(self, times=1):
        """Return what the last one of so many looks has freed."""
        freed = []
        for _ in range(times):
            assert freed == []
            await self.pass_time()
            freed = await self.roll.free()
        return freed

    async def pass_time(self):
        self.lease -= 1000
        await self.client.pexpire(keys.lane(LANE, "owner"), self.lease)


@pytest.fixture
def caller(client):
    return Caller(client)


@asynccontextmanager
async def listening(client, worker=WORKER):
    """A process of that name is there, as far as Redis knows."""
    listener = Listener(client, set().update, worker)
    task = asyncio.create_task(listener.listen())
    await until(lambda: asyncio.sleep(0, listener.is_known), bool)
    yield listener
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert not listener.is_known
    await until(lambda: client.pubsub_numsub(keys.here(worker)), lambda found: found[0][1] == 0)


async def test_a_worker_that_is_gone_loses_its_lanes(client, caller):
    """While it is there, it keeps them; when it has been missing for a while, others may have them."""
    lane = Lane(client, LANE, worker=SIGNED)
    async with listening(client):
        await lane.begin()
        assert await caller.free(LOOKS + 1) == []
    assert await caller.free(LOOKS - 1) == []
    assert await client.get(keys.lane(LANE, "owner")) == lane.token.encode()
    assert await caller.free() == [LANE]
    assert not await client.exists(keys.lane(LANE, "owner"))


async def test_one_that_is_back_has_not_been_missing(client, caller):
    """A worker that only connects again is called anew."""
    await Lane(client, LANE, worker=SIGNED).begin()
    assert await caller.free(LOOKS - 1) == []
    async with listening(client):
        assert await caller.free() == []
    assert await caller.free(LOOKS - 1) == []


async def test_one_that_renews_its_lease_is_not_gone(client, caller):
    """Whoever takes turns lives, whether it is heard or not."""
    await Lane(client, LANE, worker=SIGNED).begin()
    for _ in range(2):
        assert await caller.free(LOOKS - 1) == []
        caller.lease = LEASE_MS


async def test_one_that_rq_can_reach_is_not_gone(client, caller):
    """A worker that has lost one of its connections has the other one."""
    await Lane(client, LANE, worker=SIGNED).begin()
    async with client.pubsub() as channel:
        await channel.subscribe(f"rq:pubsub:{WORKER}")
        await until(lambda: client.pubsub_numsub(f"rq:pubsub:{WORKER}"), lambda found: found[0][1] == 1)
        assert await caller.free(LOOKS + 1) == []


async def test_one_that_does_not_listen_is_not_missed(client, caller):
    """A plain `rq worker`, or one whose user may not listen, keeps its lanes as long as its leases."""
    await Lane(client, LANE, worker=WORKER).begin()
    assert await caller.free(LOOKS + 1) == []


async def test_who_may_not_ask_redis_misses_nobody(client, caller, blocking, redis_url):
    """A user of Redis who may not count listeners hears the bell, and goes by the leases."""
    await client.acl_setuser(
        "shy",
        enabled=True,
        nopass=True,
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
        commands=["-pubsub"],
    )
    heard = asyncio.Queue()
    shy = connect(f"{redis_url}?username=shy&password=any")
    listener = Listener(shy, heard.put_nowait, WORKER)
    task = asyncio.create_task(listener.listen())
    try:
        await until(lambda: client.pubsub_numsub(keys.here(WORKER)), lambda found: found[0][1] == 1)
        await client.publish(keys.BELL, LANE)
        assert await heard.get() == {LANE}
        assert not listener.is_known
        await Lane(client, LANE, worker=rollcall.sign("another")).begin()
        await client.execute_command("AUTH", "shy", "")
        assert await caller.free(LOOKS + 1) == []
    finally:
        task.cancel()
        await asyncio.wait([task])
        await shy.aclose()
        await client.aclose()
        await asyncio.to_thread(blocking.acl_deluser, "shy")


async def test_a_look_that_failed_begins_the_call_anew(client, caller, monkeypatch):
    """Where Redis was away, everybody has to connect again."""
    await Lane(client, LANE, worker=SIGNED).begin()
    assert await caller.free(LOOKS - 1) == []

    async def lost(*channels):
        raise RedisConnectionError(channels)

    with monkeypatch.context() as patch:
        patch.setattr(client, "pubsub_numsub", lost)
        with pytest.raises(RedisConnectionError):
            await caller.free()
    assert await caller.free(LOOKS - 1) == []


async def test_an_heir_keeps_the_lane(client, caller):
    """Who has the lane by now doesn't pay for who had it before."""
    await Lane(client, LANE, worker=SIGNED).begin()
    assert await caller.free(LOOKS - 1) == []
    await client.delete(keys.lane(LANE, "owner"))
    await Lane(client, LANE, worker=SIGNED).begin()
    assert await caller.free(LOOKS - 1) == []


async def test_whoever_only_looks_takes_nothing_away(client, caller):
    """A dispatcher that doesn't lead yet counts, too, and frees nothing before it leads."""
    await Lane(client, LANE, worker=SIGNED).begin()
    for _ in range(LOOKS + 1):
        await caller.pass_time()
        await caller.roll.look()
    assert await client.exists(keys.lane(LANE, "owner"))
    assert await caller.free() == [LANE]


async def test_a_dispatcher_counts_before_it_leads(road):
    """Where the leader is gone with the worker, who leads next has missed the worker already."""
    owner = keys.lane(LANE, "owner")
    await Lane(road.client, LANE, worker=SIGNED).begin()
    for _ in range(LOOKS):
        await road.dispatcher._reap()
        lease = await road.client.pttl(owner)
        await until(lambda: road.client.pttl(owner), lambda now, lease=lease: now < lease)
    assert await road.client.exists(owner)
    road.dispatcher._leading = True
    await road.dispatcher._reap()
    assert not await road.client.exists(owner)
