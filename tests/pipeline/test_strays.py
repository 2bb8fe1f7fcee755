"""What outlives its time: it is left behind, counted, and what it does late is not done twice."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from receiver.errors import Fenced
from receiver.pipeline import keys, limits


async def drained(road, handler, **options):
    """Have one event handled; return its delivery."""
    road.handlers.on("*", name="h", **options)(handler)
    event_id = await road.append()
    await road.dispatch()
    await road.drain()
    return await road.delivery(event_id)


@pytest.fixture
def impatient(monkeypatch):
    """A cancelled handler has little time to end."""
    monkeypatch.setattr(limits, "ENDS_WITHIN", 0.05)


async def test_what_swallows_its_cancellation_is_left_behind(road, impatient):
    """Its attempt is timed out, and what it still asks of its context is refused."""
    told, gate = [], asyncio.Event()

    async def handler(event, context):
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()
        calls = (
            context.once("mail").__aenter__,
            context.state,
            lambda: context.gather(None, "k"),
            lambda: context.cancel(None, "k"),
        )
        for one in calls:
            try:
                told.append(await one())
            except Fenced as error:
                told.append(str(error))

    delivery = await drained(road, handler, timeout=0.02, retries=0)
    assert delivery.status == "dead"
    assert [one.error for one in delivery.attempts] == ["no end within 0.02 s, nor when it was cancelled"]
    assert len(road.strays) == 1
    gate.set()
    async with asyncio.timeout(5):
        while len(road.strays):
            await asyncio.sleep(0.01)
    assert told == ["this attempt is over: what it still does doesn't count"] * 4


async def test_an_effect_that_happened_late_is_remembered(road, impatient):
    """A block under `once` that ends after its attempt did is not repeated by a later attempt."""
    gate, ended = asyncio.Event(), asyncio.Event()

    async def handler(event, context):
        async with context.once("mail"):
            while not gate.is_set():
                with suppress(asyncio.CancelledError):
                    await gate.wait()
        ended.set()

    await drained(road, handler, timeout=1, retries=0)
    gate.set()
    await asyncio.wait_for(ended.wait(), 5)
    [(entry, _)] = await road.inbox.latest(1)
    assert await road.client.hget(keys.event(entry), "test.h once mail") == b"1"


async def test_what_returns_after_its_time_is_timed_out(road):
    """A handler that ends well when it is cancelled has not ended in time; its state is not saved."""

    async def handler(event, context):
        state = await context.state()
        state["n"] = 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    delivery = await drained(road, handler, timeout=0.02, retries=0)
    assert (delivery.status, delivery.attempts[0].outcome) == ("dead", "timed out")
    assert await road.client.get(keys.state("test.h", "c1")) is None


async def test_a_thread_that_outlives_its_attempt_is_counted(road):
    """It is a stray until it ends."""
    gate = threading.Event()

    def handler(event, context):
        gate.wait(30)

    delivery = await drained(road, handler, timeout=0.02, retries=0)
    assert delivery.attempts[0].outcome == "timed out"
    assert len(road.strays) == 1
    gate.set()
    async with asyncio.timeout(5):
        while len(road.strays):
            await asyncio.sleep(0.01)


async def test_a_drain_that_is_out_of_time_hands_back_what_runs(road, impatient):
    """Its attempts are cut off and blame nobody, even one that can't be cancelled; what ended is recorded."""
    begun, gate, order = asyncio.Event(), asyncio.Event(), []

    async def handler(event, context):
        if event.raw["n"] == 1 and context.attempt == 1:
            begun.set()
            while not gate.is_set():
                with suppress(asyncio.CancelledError):
                    await gate.wait()
            return
        order.append(event.raw["n"])

    road.handlers.on("*", name="h", retries=0)(handler)
    events = [await road.append(n=n) for n in range(4)]
    await road.dispatch()
    [lane] = await road.lanes()
    drain = road.drain_of(lane)
    assert await drain.begin()
    draining = asyncio.create_task(drain.run())
    await begun.wait()
    road.stopping = road.out_of_time = True
    drain.wake()
    async with asyncio.timeout(5):
        assert (await draining).state == "more"
    road.stopping = road.out_of_time = False
    while await road.lanes():
        await road.drain()
    gate.set()
    assert order == [0, 1, 2, 3]
    histories = [[one.outcome for one in (await road.delivery(event)).attempts] for event in events]
    assert histories == [["done"], ["cut off", "done"], ["done"], ["done"]]
