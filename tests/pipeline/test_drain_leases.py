"""Whose a lane is: a drain gives way, stops, loses its lane or dies, and another one goes on in order."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from receiver.errors import Fenced
from receiver.pipeline import drain as drain_module
from receiver.pipeline import keys, pace
from receiver.pipeline.connection import connect_many
from receiver.pipeline.lanes import Lane
from tests.pipeline.draining import crash, lane_of, on, run_until_empty, same_lane


async def test_a_second_drain_of_an_owned_lane_ends_at_once(road):
    """Only one drain of a lane lives."""

    async def handler(event, context):
        pass

    on(road, handler)
    await road.append()
    await road.dispatch()
    lane = lane_of("c1")
    owner = Lane(road.client, lane)
    assert await owner.begin() == 0
    assert not await road.drain_of(lane).begin()


async def test_a_drain_that_lost_its_lane_is_fenced(road):
    """A drain whose lease passed to another records nothing more, and its handlers are cancelled."""
    started, cancelled = asyncio.Event(), []

    async def handler(event, context):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(event.id)
            raise

    on(road, handler)
    event_id = await road.append()
    await road.dispatch()
    draining = asyncio.create_task(road.drain())
    await started.wait()
    await road.client.delete(keys.lane(lane_of("c1"), "owner"))
    other = Lane(road.client, lane_of("c1"))
    assert await other.begin() == 1
    with pytest.raises(Fenced):
        await draining
    assert cancelled == [event_id]
    assert (await road.delivery(event_id)).attempts[0].outcome == "cut off"


async def test_a_stopping_drain_hands_back_what_it_has_not_begun(road):
    """Told to stop, a drain ends what runs, gives back the rest in order, and leaves the lane free."""
    order, started, gate = [], asyncio.Event(), asyncio.Event()

    async def handler(event, context):
        started.set()
        await gate.wait()
        order.append(event.raw["n"])

    on(road, handler)
    for n in range(5):
        await road.append(n=n)
    await road.dispatch()
    drain = road.drain_of(lane_of("c1"))
    assert await drain.begin()
    draining = asyncio.create_task(drain.run())
    await started.wait()
    road.stopping = True
    drain.wake()
    gate.set()
    left = await draining
    assert left.state == "more"
    assert order == [0]
    assert await road.client.exists(keys.lane(lane_of("c1"), "owner")) == 0
    road.stopping = False
    await run_until_empty(road)
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cut_off", [False, True])
async def test_a_lane_is_in_order_after_a_stop(road, cut_off):
    """What a drain gives back stands in the order of acceptance, whatever ran: housekeeping goes by that."""
    same = [name for name in map(str, range(500)) if lane_of(name) == lane_of("c1")][:3]
    started, gate = [], asyncio.Event()

    async def handler(event, context):
        started.append(event.conversation)
        if event.raw["n"] != 3:
            await gate.wait()

    on(road, handler, concurrency=2)
    for n, name in enumerate([same[0], same[1], same[0], same[2], same[1], same[0]]):
        await road.append(name, n=n)
    await road.dispatch()
    queue = keys.lane(lane_of("c1"), "queue")
    before = await road.client.lrange(queue, 0, -1)
    drain = road.drain_of(lane_of("c1"))
    assert await drain.begin()
    draining = asyncio.create_task(drain.run())
    while len(started) < 2:
        await asyncio.sleep(0)
    road.stopping, road.out_of_time = True, cut_off
    drain.wake()
    if not cut_off:
        gate.set()
    await draining
    left = await road.client.lrange(queue, 0, -1)
    assert left == (before if cut_off else before[2:])


async def test_a_full_slice_gives_way(road, monkeypatch):
    """A drain whose slice is over leaves the lane with its events, and the next one goes on in order."""
    order = []

    async def handler(event, context):
        order.append(event.raw["n"])

    on(road, handler)
    monkeypatch.setattr(drain_module, "SLICE", 0.0)
    for n in range(3):
        await road.append(n=n)
    await road.dispatch()
    [left] = (await road.drain()).values()
    assert left.state == "more"
    assert order == []
    monkeypatch.undo()
    await run_until_empty(road)
    assert order == [0, 1, 2]


async def test_the_lease_is_renewed_while_a_handler_runs(road, monkeypatch):
    """A handler that runs longer than the lease keeps its lane, also where no other may run beside it."""
    monkeypatch.setattr(pace, "RENEWS", 0.05)
    owner = keys.lane(lane_of("c1"), "owner")
    renewed = []

    async def handler(event, context):
        before = await road.client.pttl(owner)
        while len(renewed) < 2:
            now = await road.client.pttl(owner)
            if now > before:
                renewed.append(now)
            before = now

    on(road, handler, concurrency=1)
    await road.append()
    await run_until_empty(road)
    assert len(renewed) == 2


async def test_a_redis_that_forgot_the_scripts_is_taught_again(road):
    """A drain survives the loss of Redis's script cache."""
    order = []

    async def handler(event, context):
        await road.client.script_flush()
        order.append(event.raw["n"])

    on(road, handler)
    for n in range(3):
        await road.append(n=n)
    await run_until_empty(road)
    assert order == [0, 1, 2]


async def test_what_a_dead_worker_had_is_handled_in_order(road):
    """Events that died with their drain come first, in order, as second attempts."""
    order = []

    async def handler(event, context):
        order.append((event.raw["n"], context.attempt))

    on(road, handler)
    for n in range(4):
        await road.append(n=n)
    await road.dispatch()
    assert len((await crash(road, lane_of("c1"), want=3)).events) == 3
    await run_until_empty(road)
    assert order == [(0, 2), (1, 2), (2, 2), (3, 1)]


async def test_only_the_event_that_kills_alone_is_blamed(road):
    """After a crash the suspects run one by one: the killer becomes a dead letter, the others are done."""
    order = []

    async def handler(event, context):
        order.append(event.raw["n"])

    on(road, handler, retries=0)
    events = [await road.append(f"c{n}", n=n) for n in range(40)]
    await road.dispatch()
    lane = lane_of("c0")
    mates = [n for n in range(40) if lane_of(f"c{n}") == lane]
    assert len(mates) > 1
    await crash(road, lane)
    alone = await crash(road, lane)
    assert [one.envelope.id for one in alone.events] == [events[mates[0]]]
    await run_until_empty(road)
    killer = await road.delivery(events[mates[0]])
    assert killer.status == "dead"
    assert [one.outcome for one in killer.attempts] == ["cut off", "cut off"]
    assert sorted(order) == [n for n in range(40) if n != mates[0]]


async def test_losing_redis_blames_nobody(road, client, monkeypatch):
    """A drain that loses Redis gives back what it has when it can; the next one goes on, in order."""
    order, broken = [], []
    on_the_way = Lane.turn

    async def turn(self, operations, **options):
        if broken and operations:
            broken.clear()
            raise RedisConnectionError("gone")
        return await on_the_way(self, operations, **options)

    async def handler(event, context):
        order.append((event.raw["n"], context.attempt))

    on(road, handler, retries=0)
    monkeypatch.setattr(Lane, "turn", turn)
    events = [await road.append(n=n) for n in range(3)]
    await road.dispatch()
    broken.append(True)
    [left] = (await road.drain()).values()
    assert left.state == "more"
    await run_until_empty(road)
    begun = len(order) - 3
    assert order == [(n, 1) for n in range(begun)] + [(n, 2) for n in range(3)]
    assert [(await road.delivery(one)).status for one in events] == ["done"] * 3


async def test_a_suspect_that_waits_slows_nobody_down(road):
    """While a suspect's conversation is held for long, the others of its lane run many at a time."""
    inside, most = [0], [0]

    async def handler(event, context):
        if event.conversation == held and event.raw["n"] == 0:
            context.retry_after(3600)
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(0.001)
        inside[0] -= 1

    on(road, handler)
    held, *others = same_lane(10)
    for n in range(2):
        await road.append(held, n=n)
    await road.dispatch()
    await crash(road, lane_of(held))
    for conversation in others:
        await road.append(conversation, n=0)
    await road.dispatch()
    [left] = (await road.drain()).values()
    assert left.state == "resting"
    assert most[0] == len(others)


async def test_many_commands_at_once(road, redis_url):
    """However many handlers use their context at once, none of them waits in vain for a connection."""
    road.client = connect_many(redis_url, connections=2)

    async def handler(event, context):
        async with context.once("x"):
            pass

    road.handlers.on("*", name="h", concurrency=256)(handler)
    events = [await road.append(f"c{n}") for n in range(200)]
    await road.dispatch()
    await asyncio.gather(*(road.drain_lane(lane) for lane in await road.lanes()))
    deliveries = [await road.delivery(event) for event in events]
    assert {(one.status, len(one.attempts)) for one in deliveries} == {("done", 1)}
    await road.client.aclose()
