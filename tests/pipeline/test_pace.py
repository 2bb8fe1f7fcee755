"""When a drain takes its turns, how it lingers, and the bell that calls it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from receiver import settings
from receiver.pipeline import bell, dispatcher, forgetting, keys, lanes, pace, routes
from receiver.pipeline.lanes import Lane
from receiver.pipeline.pace import FULL, MOST, SHARE, Pace
from receiver.pipeline.runtime import Runtime

NAME = "test.h"
LANE = routes.lane_of(NAME, "c1")


@pytest.fixture
def seen(road):
    """What a handler that is registered has seen."""
    found = []

    @road.handlers.on("*", name="h")
    async def handler(event, context):
        found.append(event.id)

    return found


@pytest.fixture
async def listener(client):
    """Hears the bell; gives what it has rung for."""
    heard = asyncio.Queue()
    task = asyncio.create_task(bell.listen(client, heard.put_nowait))
    await until(lambda: client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 1)
    yield heard
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(look, wanted):
    async with asyncio.timeout(10):
        while not wanted(await look()):
            await asyncio.sleep(0.005)


def jobs(blocking):
    return len(Queue(routes.queue_of(NAME), connection=blocking, serializer=JSONSerializer).jobs)


async def linger(road):
    """Begin a drain of an empty lane, that lingers."""
    road.alone = False
    drain = road.drain_of(LANE)
    assert await drain.begin()
    draining = asyncio.create_task(drain.run())
    await until(lambda: road.client.hget(keys.LANES, LANE), lambda state: state == b"lingering")
    return drain, draining


def count_turns(monkeypatch):
    """Note each turn that a drain takes from now on."""
    turns, real = [], Lane.turn

    async def turn(self, *arguments, **options):
        turns.append(self.name)
        return await real(self, *arguments, **options)

    monkeypatch.setattr(Lane, "turn", turn)
    return turns


def test_turns_that_bring_little_keep_a_distance():
    """The next turn is due later after a small turn, and at once after a full one, or in a hurry."""
    one = Pace(alone=False)
    assert one.early <= 0
    for events, is_early in ((FULL - 1, True), (FULL, False), (0, True)):
        one.begin_turn(idle=True)
        one.end_turn(events)
        assert (one.early > 0) == is_early
    one.hurry()
    assert one.early <= 0


def test_a_drain_for_which_others_wait_keeps_none():
    """Where a lane is drained alone, each moment of it is another lane's."""
    one = Pace(alone=True)
    one.begin_turn(idle=True)
    one.end_turn(1)
    assert one.early <= 0


def test_a_conversation_gets_more_where_handlers_are_quick():
    """Its share doubles from turn to turn while nothing is left, and is small again when something is."""
    one, shares = Pace(alone=True), []
    for idle in (True, True, True, True, True, False, True):
        one.begin_turn(idle=idle)
        shares.append(one.share)
    assert shares == [SHARE, 32, 64, MOST, MOST, SHARE, 32]


async def test_a_bell_that_rings_during_a_turn_is_heard(monkeypatch):
    """Whether the bell rings before the turn's answer has come, or after."""
    one = Pace(alone=False)
    one.begin_turn(idle=True)
    one.ring()
    assert await one.linger()
    one.begin_turn(idle=True)
    monkeypatch.setattr(pace, "LINGER", 0.01)
    assert not await one.linger()


async def test_a_lane_lingers_only_where_it_holds_nothing(road, seen):
    """Neither with an event in the queue, nor with one in hand, nor with one that waits apart."""
    lane = Lane(road.client, LANE)
    await lane.begin()
    assert (await lane.turn([], want=1, share=1, enough=[], linger=True)).lingers
    for _ in range(3):
        await road.append()
    await road.dispatch()
    given = await lane.turn([], want=2, share=1, enough=[], linger=True)
    assert (len(given.events), given.lingers) == (1, False)
    assert await road.client.hget(keys.LANES, LANE) == b"active"
    assert not (await lane.turn([], want=1, share=1, enough=["c1"], linger=True)).lingers
    assert not (await lane.turn([], want=1, share=1, enough=["c1"], linger=False)).lingers


async def test_what_comes_while_a_drain_lingers_needs_no_job(road, seen, blocking, listener):
    """The bell rings for the lane, and the drain goes on."""
    drain, draining = await linger(road)
    event = await road.append()
    await road.dispatch()
    assert LANE in await listener.get()
    drain.wake()
    await until(lambda: road.history(event), lambda found: found.deliveries[0].status == "done")
    assert (seen, jobs(blocking)) == ([event], 0)
    drain._may_linger = False
    drain.wake()
    assert (await draining).state == "empty"


async def test_a_drain_that_nobody_calls_leaves(road, seen, monkeypatch):
    """After a while it goes, and leaves nothing."""
    monkeypatch.setattr(pace, "LINGER", 0.05)
    _, draining = await linger(road)
    assert (await draining).state == "empty"
    assert await road.lanes() == []
    assert await road.client.exists(keys.lane(LANE, "owner")) == 0


async def test_a_bell_that_nobody_hears_loses_nothing(road, seen, monkeypatch):
    """A lingering drain looks into its lane before it leaves."""
    monkeypatch.setattr(pace, "LINGER", 0.3)
    _, draining = await linger(road)
    event = await road.append()
    await road.dispatch()
    await draining
    assert seen == [event]


async def test_a_stopping_drain_does_not_linger(road, seen, monkeypatch):
    """It leaves at once when its process ends."""
    drain, draining = await linger(road)
    turns = count_turns(monkeypatch)
    road.stopping = True
    drain.wake()
    assert (await draining).state == "empty"
    assert turns == []


async def test_a_call_for_nothing_is_no_reason_to_hurry(road, seen, monkeypatch):
    """Whoever rings, a drain looks once, and lingers on."""
    drain, draining = await linger(road)
    turns = count_turns(monkeypatch)
    for number in range(1, 4):
        drain.wake()
        await until(lambda: asyncio.sleep(0, len(turns)), number.__eq__)
    road.stopping = True
    drain.wake()
    await draining
    assert len(turns) == 3


async def test_a_lane_that_nobody_comes_for_gets_a_job(road, seen, blocking, listener):
    """The bell was heard, but no drain begins."""
    await road.append()
    await road.dispatch()
    assert LANE in await listener.get()
    assert jobs(blocking) == 0
    await until(lambda: asyncio.to_thread(jobs, blocking), lambda found: found == 1)


async def test_a_lane_that_somebody_has_come_for_gets_none(road, seen, blocking, listener, monkeypatch):
    """A drain that has begun needs no job, and lanes that nobody came for get theirs."""
    monkeypatch.setattr(dispatcher, "ANSWERED_WITHIN", 0.2)
    other = next(name for n in range(99) if routes.lane_of(NAME, name := f"d{n}") != LANE)
    await road.append()
    await road.append(other)
    await road.dispatch()
    await Lane(road.client, LANE).begin()
    await until(lambda: asyncio.to_thread(jobs, blocking), lambda found: found == 1)
    await until(lambda: asyncio.sleep(0, road.dispatcher._waker), lambda waker: waker is None)
    [job] = Queue(routes.queue_of(NAME), connection=blocking, serializer=JSONSerializer).jobs
    assert job.args == [routes.lane_of(NAME, other)]


async def test_the_bell_is_heard_again_after_redis_was_away(client, listener, monkeypatch):
    """A connection that breaks is replaced."""
    monkeypatch.setattr(bell, "RETRY", 0.01)
    await client.client_kill_filter(_type="pubsub")
    await until(lambda: client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 1)
    await client.publish(keys.BELL, "a/1\nb/2")
    assert await listener.get() == {"a/1", "b/2"}


async def test_a_bell_at_the_end_of_a_slice_is_the_next_drains(road, seen):
    """A drain whose slice is over while it lingers leaves when something comes, and spins no loop."""
    drain, draining = await linger(road)
    drain._slice_end = 0.0
    await road.append()
    await road.dispatch()
    drain.wake()
    assert (await draining).state == "more"
    assert seen == []


async def test_a_redis_that_refuses_to_publish_repeats_nothing(road, seen, blocking, redis_url):
    """A user who may not use the channel has events in their lanes once, and a job for each lane."""
    await road.client.acl_setuser(
        "quiet", enabled=True, nopass=True, keys=["*"], categories=["+@all"], reset_channels=True
    )
    try:
        await road.lead()
        await road.append(identity="m|1")
        await road.client.execute_command("AUTH", "quiet", "")
        await road.dispatcher.dispatch_once()
        assert await road.client.llen(keys.lane(LANE, "queue")) == 1
        assert jobs(blocking) == 1
    finally:
        await road.client.aclose()
        await asyncio.to_thread(blocking.acl_deluser, "quiet")


async def test_a_drain_that_dies_while_it_lingers_holds_its_lane_for_a_moment_only(road, seen):
    """Its lease is short, and is a whole one again when it goes on."""
    _, draining = await linger(road)
    draining.cancel()
    assert await road.client.pttl(keys.lane(LANE, "owner")) <= lanes.LINGERING_MS
    lane = Lane(road.client, LANE)
    await road.client.delete(keys.lane(LANE, "owner"))
    await lane.begin()
    await lane.turn([], want=1, share=1, enough=[], linger=True)
    await lane.turn([], want=1, share=1, enough=[])
    assert await road.client.pttl(keys.lane(LANE, "owner")) > lanes.LINGERING_MS


async def test_a_lingering_drain_keeps_nobody_from_forgetting_its_handler(road, seen):
    """Nothing runs in it."""
    _, draining = await linger(road)
    assert (await forgetting.forget(road.client, NAME)).running == ""
    draining.cancel()


async def test_a_leader_that_comes_back_tells_its_routes_again(road, seen):
    """Whoever led meanwhile may have gone by others."""
    await road.append()
    await road.dispatch()
    await road.client.delete(keys.LEASE)
    await road.client.hdel(keys.ROUTES, NAME)
    between = road.another_dispatcher()
    await road.client.hset(
        keys.ROUTES, "other.h", routes.Route("other.h", next(iter(road.handlers)).filter).to_json()
    )
    assert await between._hold_lease()
    await road.append()
    await between.dispatch_once()
    await road.client.delete(keys.LEASE)
    await road.client.hdel(keys.ROUTES, "other.h")
    road.dispatcher._renewed = 0.0
    assert not await road.dispatcher._resign.run(road.client, [keys.LEASE], [between.token])
    road.dispatcher._leading = False
    event = await road.append()
    await road.dispatch()
    assert [one.handler for one in (await road.history(event)).deliveries] == [NAME]


async def test_a_worker_answers_the_bell(road, seen, blocking, redis_url, monkeypatch):
    """A process that hears of a lane begins a drain; of a handler that it isn't to run, it doesn't."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)

    @road.handlers.on("*", name="other")
    async def other(event, context):
        """One that this worker has, and isn't to run."""

    here = Runtime(settings.load(), {one.name: one for one in road.handlers})
    here.alone, here.suspects = False, "none"
    here.listen([NAME])
    await until(lambda: road.client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 1)
    try:
        await road.client.publish(keys.BELL, "nobody.has_it/3\ntest.other/3")
        event = await road.append()
        await road.dispatch()
        await until(lambda: road.history(event), lambda found: found.deliveries[0].status == "done")
        assert jobs(blocking) == 0
        assert not await road.client.exists(keys.lane("test.other/3", "owner"))
    finally:
        await asyncio.to_thread(here.finish)
    await until(lambda: road.client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 0)
