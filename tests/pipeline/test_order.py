"""The order policy: whether a conversation's events wait for one that fails."""

from __future__ import annotations

import asyncio

import pytest

from receiver.errors import PluginError
from receiver.pipeline import keys
from receiver.pipeline.lanes import Lane
from receiver.plugins import Handlers
from tests.pipeline.collecting import let_time_pass

HANDLER = "test.h"


class Run:
    """A road whose handler fails `failing` (n → how often), and writes down what it has done."""

    def __init__(self, road, **options):
        self.road = road
        self.failing = {}
        self.done = []
        self.at_once = 0
        self.most_at_once = 0

        async def handler(event, context):
            n = event.raw["n"]
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if context.attempt <= self.failing.get(n, 0):
                    context.retry_after(3600)
                self.done.append(n)
            finally:
                self.at_once -= 1

        road.handlers = Handlers("test")
        road.handlers.on("*", name="h", **options)(handler)

    async def send(self, count, conversation="c1"):
        self.ids = [await self.road.append(conversation, n=n) for n in range(count)]
        await self.road.dispatch()

    async def finish(self):
        """Let all waits end until no lane holds anything."""
        while lanes := await self.road.lanes():
            for lane in lanes:
                await let_time_pass(self.road, lane)
                await self.road.drain_lane(lane)

    async def left(self):
        return [key.decode() for key in await self.road.client.keys("receiver:lane*")]


@pytest.mark.parametrize(("options", "expected"), [({}, []), ({"order": None}, [1, 2, 3])])
async def test_a_failing_event(road, options, expected):
    """By default later events of its conversation wait for a failing one; with order=None they don't."""
    run = Run(road, **options)
    run.failing = {0: 2}
    await run.send(4)
    [left] = (await road.drain()).values()
    assert (run.done, left.state) == (expected, "resting")
    await run.finish()
    assert sorted(run.done) == [0, 1, 2, 3]
    assert await run.left() == []


async def test_several_wait_each_for_itself(road):
    """With order=None each failing event waits for its own retry, and later events pass all of them."""
    run = Run(road, order=None)
    run.failing = {0: 1, 1: 1}
    await run.send(3)
    [lane] = await road.lanes()
    await road.drain()
    entries = [entry for entry, _ in reversed(await road.inbox.latest(3))]
    held = [name.decode() for name in await road.client.zrange(keys.lane(lane, "held"), 0, -1)]
    assert sorted(held) == entries[:2]
    await road.append(n=3)
    await road.dispatch()
    await road.drain()
    assert run.done == [2, 3]
    await road.client.zadd(keys.lane(lane, "held"), {entries[1]: 1})
    await road.drain()
    assert run.done == [2, 3, 1]


async def test_events_of_one_conversation_run_at_once(road):
    """With order=None events of one conversation run at once, up to `concurrency`."""
    run = Run(road, order=None, concurrency=3)
    await run.send(40)
    await run.finish()
    assert run.most_at_once == 3
    assert sorted(run.done) == list(range(40))


async def test_in_order_they_dont(road):
    """With the default order, events of one conversation run one at a time."""
    run = Run(road, concurrency=3)
    await run.send(40)
    await run.finish()
    assert (run.most_at_once, run.done) == (1, list(range(40)))


async def test_a_dead_letter_lets_the_conversation_go_on(road):
    """When its attempts are spent an event is a dead letter, and its conversation goes on in order."""
    run = Run(road, retries=1)
    run.failing = {0: 99}
    await run.send(3)
    await run.finish()
    assert run.done == [1, 2]
    assert (await road.delivery(run.ids[0])).status == "dead"
    assert await road.client.zcard(keys.DEAD) == 1
    assert await run.left() == []


@pytest.mark.parametrize("events", [1, 2])
async def test_a_dead_worker(road, events):
    """With order=None what a dead worker had is delivered; one that was alone waits under its own entry."""
    run = Run(road, order=None)
    await run.send(events)
    [name] = await road.lanes()
    dead = Lane(road.client, name, ordered=False)
    await dead.begin()
    assert len((await dead.turn([], want=10, share=10, enough=[])).events) == events
    await road.client.set(keys.lane(name, "owner"), f"dead {events} killed")
    heir = Lane(road.client, name, ordered=False)
    assert await heir.begin() == events
    held = await road.client.zrange(keys.lane(name, "held"), 0, -1)
    assert held == ([(await road.inbox.latest(1))[0][0].encode()] if events == 1 else [])
    await road.client.delete(keys.lane(name, "owner"))
    await run.finish()
    assert sorted(run.done) == list(range(events))
    assert await run.left() == []


@pytest.mark.parametrize("before", ["conversation", None])
async def test_the_policy_changes_while_events_wait(road, before):
    """Events that wait under one policy are delivered, each once, under the other."""
    run = Run(road, order=before)
    run.failing = {0: 1, 20: 1}
    await run.send(40)
    await road.drain()
    assert len(run.done) < 40
    done = run.done
    after = Run(road, order=None if before else "conversation")
    await run.finish()
    assert sorted(done + after.done) == list(range(40))
    assert await run.left() == []


async def test_no_state(road):
    """With order=None `context.state()` is refused, with words: two events could overwrite each other's."""

    async def handler(event, context):
        await context.state()

    road.handlers.on("*", name="h", order=None, retries=0)(handler)
    event_id = await road.append()
    await road.dispatch()
    await road.drain()
    delivery = await road.delivery(event_id)
    assert delivery.status == "dead"
    assert "PluginError: test.h has order=None" in delivery.attempts[0].error


@pytest.mark.parametrize("order", ["channel", "", False])
def test_other_policies(order):
    """Anything but "conversation" and None is refused at registration."""
    handlers = Handlers("test")
    with pytest.raises(PluginError, match='order="conversation" or order=None'):
        handlers.on("*", name="h", order=order)(lambda event, context: None)


def test_who_has_the_option():
    """Bots have it, too; batches don't: a key has one at a time."""
    handlers = Handlers("test")
    handlers.bot("b", order=None)
    assert [one.order for one in handlers] == [None]
    with pytest.raises(PluginError, match="no option 'order'"):
        handlers.collect(quiet=1, longest=2, order=None)


@pytest.mark.parametrize(("ordered", "given"), [(True, 2), (False, 8)])
async def test_a_share_is_a_conversations(road, ordered, given):
    """A drain takes a share of one conversation; without order each event is one, and all are taken."""
    await Run(road, order="conversation" if ordered else None).send(8)
    [name] = await road.lanes()
    lane = Lane(road.client, name, ordered=ordered)
    await lane.begin()
    assert len((await lane.turn([], want=10, share=2, enough=[])).events) == given
