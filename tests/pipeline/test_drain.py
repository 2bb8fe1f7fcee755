"""Drains: one conversation in order, different ones at once."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from receiver.errors import SendbirdRefused
from receiver.intake import Intake
from receiver.pipeline import drain as drain_module
from receiver.pipeline import keys
from receiver.pipeline.drain import WINDOW
from receiver.pipeline.pace import SHARE
from receiver.signature import sign
from tests.pipeline.draining import (
    HANDLER,
    crash,
    lane_of,
    let_time_pass,
    on,
    run_until_empty,
    same_lane,
    wait_until,
)


async def test_a_handler_gets_the_event_and_the_delivery_is_done(road):
    """The handler sees the body, and the delivery records one attempt that was done."""
    seen = []

    async def handler(event, context):
        seen.append((event.id, event.raw["n"], context.attempt, context.handler))

    on(road, handler)
    event_id = await road.append(n=7)
    await road.dispatch()
    left = await road.drain()
    assert seen == [(event_id, 7, 1, HANDLER)]
    assert [one.state for one in left.values()] == ["empty"]
    delivery = await road.delivery(event_id)
    assert delivery.status == "done"
    assert [(one.number, one.outcome) for one in delivery.attempts] == [(1, "done")]
    assert await road.lanes() == []


async def test_nothing_is_left_behind_in_redis(road):
    """A drained lane leaves no keys but the event's own record."""

    async def handler(event, context):
        pass

    on(road, handler)
    await road.append()
    await run_until_empty(road)
    left = {key.decode() for key in await road.client.keys(keys.PREFIX + "lane*")}
    assert left == set()


async def test_one_conversation_runs_in_order_and_different_ones_at_once(road):
    """Two conversations of one lane overlap; the events of each follow one another."""
    inside, overlaps, order = set(), [], []

    async def handler(event, context):
        assert event.conversation not in inside
        inside.add(event.conversation)
        overlaps.append(len(inside))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        inside.discard(event.conversation)
        order.append((event.conversation, event.raw["n"]))

    on(road, handler)
    pair = same_lane(2)
    for n in range(10):
        for conversation in pair:
            await road.append(conversation, n=n)
    await run_until_empty(road)
    assert max(overlaps) == 2
    for conversation in pair:
        assert [n for name, n in order if name == conversation] == list(range(10))


async def test_a_failing_event_holds_its_own_conversation_only(road):
    """While one conversation waits for its retry the other goes on; then the first goes on in order."""
    order, failures = [], [1, 2]

    async def handler(event, context):
        if event.conversation == stuck and event.raw["n"] == 1 and failures:
            failures.pop()
            context.retry_after(0.05)
        order.append((event.conversation, event.raw["n"]))

    on(road, handler)
    stuck, free = same_lane(2)
    for n in range(4):
        await road.append(stuck, n=n)
    for n in range(4):
        await road.append(free, n=n)
    await run_until_empty(road)
    assert [n for name, n in order if name == stuck] == [0, 1, 2, 3]
    assert order.index((free, 3)) < order.index((stuck, 1))


async def test_later_events_of_a_held_conversation_wait_behind_it(road):
    """Events that come while their conversation is held are handled after the held one."""
    order, gate = [], [True]

    async def handler(event, context):
        if gate:
            context.retry_after(0.05)
        order.append(event.raw["n"])

    on(road, handler)
    await road.append(n=0)
    await road.dispatch()
    [left] = (await road.drain()).values()
    assert left.state == "resting"
    gate.clear()
    for n in range(1, 4):
        await road.append(n=n)
    await run_until_empty(road)
    assert order == [0, 1, 2, 3]


async def test_half_an_emoji_costs_nothing(road):
    """A body that is JSON to no strict reader reaches its handler, and its error can be recorded."""
    seen = []

    async def handler(event, context):
        seen.append(event.raw["text"])
        raise SendbirdRefused(event.raw["text"])

    on(road, handler, type="MESG")
    intake = Intake([b"t"])
    body = b'{"category":"a:b","type":"MESG","channel":{"channel_url":"c\\ud83d"},"text":"\\ud83d"}'
    envelope = intake.webhook(sign(b"t", body), body)
    await road.storage.append(envelope)
    await run_until_empty(road)
    assert seen == ["\ud83d"]
    delivery = await road.delivery(envelope.id)
    assert delivery.attempts[0].error == "SendbirdRefused: ?"


async def test_a_predicate_skips(road):
    """An event that `where` turns down is skipped without an attempt."""

    async def handler(event, context):
        raise AssertionError

    on(road, handler, where=lambda event: False)
    event_id = await road.append()
    await run_until_empty(road)
    delivery = await road.delivery(event_id)
    assert (delivery.status, delivery.attempts) == ("skipped", ())


async def test_messages_of_known_bots_are_marked(road):
    """An event whose sender is a known bot says so."""
    marks = {}

    async def handler(event, context):
        marks[event.sender.user_id] = event.from_bot

    on(road, handler)
    road.bots = frozenset({"helper"})
    for user in ("ada", "helper"):
        await road.append(type="MESG", sender={"user_id": user}, payload={"message": "hi"})
    await run_until_empty(road)
    assert marks == {"ada": False, "helper": True}


async def test_a_busy_conversation_does_not_fill_the_window(road):
    """Behind a long backlog of a slow conversation, others in its lane run at once, and order holds."""
    order, gate = [], asyncio.Event()

    async def handler(event, context):
        if event.conversation == busy:
            await gate.wait()
        else:
            gate.set()
        order.append((event.conversation, event.raw["n"]))

    on(road, handler)
    busy, other = same_lane(2)
    for n in range(WINDOW + 3 * SHARE):
        await road.append(busy, n=n)
    await road.append(other, n=0)
    await run_until_empty(road)
    assert order[0] == (other, 0)
    assert [n for name, n in order if name == busy] == list(range(WINDOW + 3 * SHARE))


async def test_events_that_come_while_a_handler_is_slow_are_taken(road):
    """A drain that waits for a slow conversation notices new events of others."""
    gate, order = asyncio.Event(), []

    async def handler(event, context):
        if event.conversation == slow:
            await gate.wait()
        order.append(event.conversation)
        gate.set()

    on(road, handler)
    slow, other = same_lane(2)
    await road.append(slow)
    await road.dispatch()
    draining = asyncio.create_task(road.drain())
    await wait_until(lambda: road.client.scard(keys.lane(lane_of(slow), "taken")))
    await road.append(other)
    await road.dispatch()
    await draining
    assert order == [other, slow]


@pytest.mark.parametrize("seed", range(12))
async def test_no_fault_loses_repeats_or_reorders(road, seed):
    """Whatever fails, crashes or stops: each event is done once, each conversation in order."""
    chance = random.Random(seed)
    order = []

    async def handler(event, context):
        if chance.random() < 0.2:
            context.retry_after(chance.choice([0, 0.001]))
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        order.append((event.conversation, event.raw["n"]))

    on(road, handler, retries=1000, concurrency=chance.choice([1, 2, 64]))
    counts = dict.fromkeys((f"c{n}" for n in range(chance.choice([1, 3, 30]))), 0)
    for _ in range(300):
        conversation = chance.choice(list(counts))
        await road.append(conversation, n=counts[conversation])
        counts[conversation] += 1
        if chance.random() < 0.05:
            await road.dispatch()
            for lane in await road.lanes():
                if chance.random() < 0.3:
                    await crash(road, lane, want=chance.choice([1, 5, WINDOW]))
                else:
                    road.stopping = chance.random() < 0.2
                    await let_time_pass(road, lane)
                    await road.drain_lane(lane)
                    road.stopping = False
    await run_until_empty(road)
    for conversation, count in counts.items():
        assert [n for name, n in order if name == conversation] == list(range(count))


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_conversations_run_at_once_than_allowed(road, concurrency):
    """`concurrency` bounds the conversations that run at once, however many wait."""
    inside, most = [0], [0]

    async def handler(event, context):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(0.001)
        inside[0] -= 1

    on(road, handler, concurrency=concurrency)
    for conversation in same_lane(12):
        for n in range(3):
            await road.append(conversation, n=n)
    await run_until_empty(road)
    assert most == [concurrency]


async def test_beside_others_a_slow_conversation_keeps_its_lane_open(road, monkeypatch):
    """After its slice, a drain that isn't alone goes on serving its lane while a slow attempt runs."""
    monkeypatch.setattr(drain_module, "SLICE", 0.0)
    road.alone = False
    gate, order = asyncio.Event(), []

    async def handler(event, context):
        if event.conversation == slow:
            await gate.wait()
        order.append(event.conversation)
        gate.set()

    on(road, handler)
    slow, other = same_lane(2)
    await road.append(slow)
    await road.dispatch()
    drain = road.drain_of(lane_of(slow))
    assert await drain.begin()
    drain._slice_end = time.monotonic() + 60
    draining = asyncio.create_task(drain.run())
    await wait_until(lambda: road.client.scard(keys.lane(lane_of(slow), "taken")))
    drain._slice_end = 0.0
    await road.append(other)
    await road.dispatch()
    await draining
    assert order == [other, slow]
