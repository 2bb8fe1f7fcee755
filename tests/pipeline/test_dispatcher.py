"""The dispatcher: from the inbox into lanes, once, in order, by one leader."""

from __future__ import annotations

import asyncio
import os

import orjson
import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from receiver.pipeline import keys, reaper, routes
from receiver.pipeline.deliveries import Delivery
from receiver.pipeline.dispatcher import depose


def add_handler(road, name="h", **options):
    async def handler(event, context):
        pass

    road.handlers.on("*", name=name, **options)(handler)
    return f"test.{name}"


async def queued(road, lane):
    return [entry.decode() for entry in await road.client.lrange(keys.lane(lane, "queue"), 0, -1)]


async def test_events_reach_the_lane_of_their_conversation_in_order(road):
    """All events of a conversation stand in one lane, in the order of the inbox."""
    name = add_handler(road)
    for n in range(5):
        await road.append("c1", n=n)
        await road.append("c2", n=n)
    await road.dispatch()
    lane = routes.lane_of(name, "c1")
    entries = [(entry, one) for entry, one in reversed(await road.inbox.latest(20))]
    expected = [entry for entry, one in entries if routes.lane_of(name, one.conversation) == lane]
    assert await queued(road, lane) == expected


async def test_every_handler_gets_its_own_delivery(road):
    """An event that two handlers want stands in the lanes of both."""
    names = [add_handler(road, "one"), add_handler(road, "two")]
    event_id = await road.append()
    await road.dispatch()
    history = await road.history(event_id)
    assert history.deliveries == tuple(Delivery(name, "waiting", ()) for name in names)


async def test_an_event_that_nobody_wants_leaves_no_trace(road):
    """An event without takers is dispatched, and costs nothing but its place in the inbox."""

    async def handler(event, context):
        pass

    road.handlers.on("user:block")(handler)
    event_id = await road.append()
    await road.dispatch()
    assert await road.lanes() == []
    assert (await road.history(event_id)).deliveries == ()


async def test_a_sleeping_lane_is_woken_once(road, blocking):
    """The first events of a lane enqueue one drain, and later ones none, until the lane is empty."""
    name = add_handler(road)
    queue = Queue(routes.queue_of(name), connection=blocking, serializer=JSONSerializer)
    for _ in range(3):
        await road.append()
        await road.dispatch()
    [job] = queue.jobs
    assert job.args == [routes.lane_of(name, "c1")]
    await road.drain()
    await road.append()
    await road.dispatch()
    assert len(queue.jobs) == 2


async def test_rq_jobs_hold_json_and_expire(road, blocking):
    """A drain's RQ job is JSON, keeps no result, and a failed one is gone within the hour."""
    name = add_handler(road)
    await road.append()
    await road.dispatch()
    [job] = Queue(routes.queue_of(name), connection=blocking, serializer=JSONSerializer).jobs
    assert orjson.loads(job.data)[0] == "receiver.pipeline.worker.drain"
    assert job.result_ttl == 0
    assert job.failure_ttl == 3600


async def test_one_dispatcher_leads_at_a_time(road):
    """While one dispatcher holds the lease another doesn't get it; when it resigns, it does."""
    add_handler(road)
    other = road.another_dispatcher()
    assert await road.lead()
    assert not await road.lead(other)
    road.dispatcher.stopping.set()
    await road.dispatcher.run()
    assert await road.lead(other)


async def test_a_leader_renews_its_lease(road):
    """While a dispatcher leads, the end of its lease is pushed away."""
    add_handler(road)
    assert await road.lead()
    granted = await road.client.pttl(keys.LEASE)
    await road.client.pexpire(keys.LEASE, granted // 2)
    assert await road.lead()
    assert await road.client.pttl(keys.LEASE) > granted // 2


async def test_one_that_does_not_lead_takes_no_lease_with_it(road):
    """A dispatcher that ends without leading leaves the leader's lease alone."""
    add_handler(road)
    other = road.another_dispatcher()
    assert await road.lead()
    other.stopping.set()
    await other.run()
    assert await road.client.get(keys.LEASE) == road.dispatcher.token.encode()


async def test_the_lease_of_one_that_has_died_is_given_up(road, blocking):
    """A pool gives up the lease of its own dispatcher that has died, and of no other."""
    add_handler(road)
    other = road.another_dispatcher()
    assert not depose(blocking, os.getpid())
    assert await road.lead()
    assert not depose(blocking, os.getpid() + 1)
    assert not await road.lead(other)
    assert depose(blocking, os.getpid())
    assert await road.lead(other)


async def test_a_paused_leader_can_neither_repeat_nor_skip(road):
    """What a leader read before it was paused is not dispatched once another has taken over."""
    name = add_handler(road)
    for _ in range(3):
        await road.append()
    assert await road.lead()
    await road.client.delete(keys.LEASE)  # its lease ran out while it was paused
    other = road.another_dispatcher()
    assert await road.lead(other)
    assert await road.dispatcher.dispatch_once() == 0
    assert not road.dispatcher._leading
    assert await other.dispatch_once() == 3
    assert len(await queued(road, routes.lane_of(name, "c1"))) == 3


async def test_a_leader_with_an_old_cursor_is_fenced(road):
    """Even with its lease back, a leader whose cursor is behind dispatches nothing twice."""
    name = add_handler(road)
    await road.append()
    assert await road.lead()
    await road.client.set(keys.CURSOR, (await road.inbox.latest(1))[0][0])  # somebody was quicker
    assert await road.dispatcher.dispatch_once() == 0
    assert await queued(road, routes.lane_of(name, "c1")) == []


async def test_events_wait_for_the_first_handler(road):
    """While no handler is known at all, events stay undispatched in the inbox."""
    await road.append()
    assert await road.lead()
    assert await road.dispatcher.dispatch_once() == 0
    assert await road.client.get(keys.CURSOR) is None


async def test_new_routes_are_learned_while_it_runs(road):
    """A handler that is published later gets the events from then on."""
    add_handler(road, "one")
    await road.append()
    await road.dispatch()
    late = add_handler(road, "late")
    event_id = await road.append()
    await road.dispatch()
    assert late in {delivery.handler for delivery in (await road.history(event_id)).deliveries}


@pytest.mark.parametrize("fields", [{"a": "b"}, {"conversation": b"\xff", "category": "x", "body": "{}"}])
async def test_an_odd_entry_stops_nothing(road, fields):
    """An inbox entry of another form is passed over, and what comes after it is dispatched."""
    add_handler(road)
    await road.client.xadd(keys.INBOX, fields)
    event_id = await road.append()
    await road.dispatch()
    assert (await road.delivery(event_id)).status == "waiting"


async def test_a_route_of_another_version_stops_nothing(road):
    """A route that this version doesn't understand keeps no other handler from its events."""
    add_handler(road)
    await road.client.hset(keys.ROUTES, "newer", b'{"handler":"newer","filter":{"moon":["full"]}}')
    event_id = await road.append()
    await road.dispatch()
    assert (await road.delivery(event_id)).status == "waiting"


async def test_chores_are_done_under_traffic(road, monkeypatch):
    """Forsaken lanes are woken and old events dropped while events keep coming."""
    monkeypatch.setattr(reaper, "EVERY", 0.01)
    monkeypatch.setattr(reaper, "GRACE", 0.0)
    name = add_handler(road)
    lane = routes.lane_of(name, "c1")
    queue = Queue(routes.queue_of(name), connection=road.blocking, serializer=JSONSerializer)
    routes.publish(road.blocking, road.handlers)
    running = asyncio.create_task(road.dispatcher.run())
    async with asyncio.timeout(20):
        while not queue.job_ids:
            await road.append()
            await asyncio.sleep(0.01)
        queue.empty()
        while not queue.job_ids:
            await road.append()
            await asyncio.sleep(0.01)
    assert queue.jobs[0].args == [lane]
    road.dispatcher.stopping.set()
    await running


async def test_an_entry_without_json_stops_nothing(road):
    """An inbox entry that somebody wrote by hand is passed over."""
    add_handler(road, type="MESG")
    fields = dict.fromkeys(keys.FIELDS, "x")
    await road.client.xadd(keys.INBOX, {**fields, "received": 1, "body": "no json"})
    event_id = await road.append(type="MESG")
    await road.dispatch()
    assert (await road.delivery(event_id)).status == "waiting"


async def test_it_runs_until_it_is_stopped(road):
    """`run` leads, dispatches what comes, and gives its lease back when it is told to stop."""
    name = add_handler(road)
    routes.publish(road.blocking, road.handlers)
    running = asyncio.create_task(road.dispatcher.run())
    await road.append()
    while not await queued(road, routes.lane_of(name, "c1")):
        await asyncio.sleep(0.01)
    road.dispatcher.stopping.set()
    await running
    assert await road.client.get(keys.LEASE) is None


async def test_a_nearly_full_redis(road):
    """Beyond nine tenths of Redis's memory nothing is dispatched: handling what is there needs the rest."""
    road.handlers.on("*", name="h")(lambda event, context: None)
    await road.append()
    await road.lead()
    used = (await road.client.info("memory"))["used_memory"]
    await road.client.config_set("maxmemory", round(used / 0.95))
    try:
        await step(road)
        assert await road.client.get(keys.CURSOR) is None
    finally:
        await road.client.config_set("maxmemory", 0)
    await step(road)
    assert await road.client.get(keys.CURSOR) is not None


async def step(road):
    """Do a dispatcher's step, at the moment at which it renews its lease and looks at Redis's limit."""
    road.dispatcher._renewed = float("-inf")
    road.dispatcher._pause = nothing
    await road.dispatcher._step()


async def nothing(seconds):
    """Make no pause."""
