"""What handlers gather: under which keys, and once, however often they are tried."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from receiver.errors import Fenced
from receiver.pipeline import forgetting, gathering, keys, routes
from receiver.pipeline.drain import Drain
from receiver.pipeline.lanes import Lane
from tests.pipeline.collecting import DIGEST, GATHER, Collecting, nothing, scheduled


async def test_half_an_emoji_is_a_key_too(plugin):
    """A key from a body with a lone surrogate is stored with a question mark, and closes like any."""
    event_id = await plugin.send(0)
    entry, _ = await plugin.road.inbox.find(event_id)
    given = {"entry": entry, "guard": "test.gather call 2"}
    await gathering.gather(
        plugin.road.client, plugin.road.blocking, plugin.collect, ["a\ud83d", "a?"], **given
    )
    await plugin.finish()
    assert plugin.batches == [("a?", [0])]


async def test_one_event_goes_to_many_keys(plugin, road):
    """An event gathered under thousands of keys is in the batch of each, whatever their lanes."""
    names = [f"user {n}" for n in range(2_500)]
    await plugin.send(0, *names)
    await plugin.send(1, *names[:10])
    assert len(await plugin.lanes()) == routes.SHARDS
    assert len(scheduled(road)) == routes.SHARDS
    await plugin.finish()
    assert sorted(plugin.batches) == sorted([(name, [0, 1] if name in names[:10] else [0]) for name in names])
    assert await plugin.left() == []


async def test_a_repeated_attempt_gathers_nothing_twice(plugin):
    """Attempts that fail after gathering, before and after the batch is handed over, add nothing."""
    await plugin.road.append(n=0, gather=["ada"], fail=2)
    await plugin.road.dispatch()
    [lane] = await plugin.lanes(GATHER)
    await plugin.road.drain_lane(lane)
    await plugin.digest()
    assert plugin.batches == [("ada", [0])]
    await plugin.finish()
    assert plugin.attempts == [(0, 1), (0, 2), (0, 3)]
    assert plugin.batches == [("ada", [0])]


async def test_a_worker_that_died_after_gathering_repeats_nothing(plugin, road, monkeypatch):
    """An attempt that gathered but was never recorded is repeated, and what it gathered is not."""
    await road.append(n=0, gather=["ada"])
    await road.dispatch()
    [lane] = await plugin.lanes(GATHER)
    dead = road.drain_of(lane)
    assert await dead.begin()

    async def die(*arguments, **options):
        while not await plugin.lanes():
            await asyncio.sleep(0.005)
        raise Fenced("killed")

    turn = dead._lane.turn

    async def turn_once(operations, **options):
        monkeypatch.setattr(dead._lane, "turn", die)
        return await turn(operations, **options)

    monkeypatch.setattr(dead._lane, "turn", turn_once)
    with pytest.raises(Fenced):
        await dead.run()
    await road.client.delete(keys.lane(lane, "owner"))
    await plugin.digest()
    await plugin.finish()
    assert plugin.attempts == [(0, 1), (0, 2)]
    assert plugin.batches == [("ada", [0])]


async def test_each_call_of_an_attempt_counts(plugin, road):
    """Two calls in one handler gather each for itself; the same key twice in them counts as one event."""

    async def twice(event, context):
        await context.gather(plugin.collect, "ada")
        await context.gather(plugin.collect, "ben", "ada")

    road.handlers.on("a:b", name="twice")(twice)
    await road.append(category="a:b", n=7)
    await road.dispatch()
    await road.drain()
    await plugin.finish()
    assert sorted(plugin.batches) == [("ada", [7]), ("ben", [7])]


async def test_what_is_long_forgotten_is_not_gathered(plugin, road):
    """An attempt that runs on when its event is gone gathers and cancels nothing."""
    given = {"entry": "1-1", "guard": "test.gather call 1"}
    await gathering.gather(road.client, road.blocking, plugin.collect, ["ada"], **given)
    await gathering.cancel(road.client, plugin.collect, ["ada"], None, **given)
    assert await road.client.keys("receiver:*") == []


async def test_a_batch_can_not_be_gathered(plugin, road):
    """A handler of batches that gathers fails with a message that says what to do."""

    async def greedy(batch, context):
        await context.gather(plugin.collect, "ada")

    plugin.collect = road.handlers.collect(quiet=0, longest=0, name="greedy", retries=0)(greedy)
    await plugin.send(0, "ada")
    await road.drain()
    [delivery] = (await plugin.of("ada")).deliveries
    assert "gather its events" in delivery.attempts[0].error


async def test_gathered_messages_of_bots_are_marked(road):
    """In a batch, too, a message whose sender is a known bot says so."""
    plugin = Collecting(road)
    road.bots = frozenset({"helper"})
    marks = []

    async def look(batch, context):
        marks.extend(event.from_bot for event in batch.events)

    plugin.collect = road.handlers.collect(quiet=0, longest=0, name="look")(look)
    for n, user in enumerate(("ada", "helper")):
        await road.append(n=n, gather=["k"], type="MESG", sender={"user_id": user}, payload={"message": "hi"})
    await plugin.gather()
    await road.drain()
    assert marks == [False, True]


async def test_forgetting_drops_and_counts_what_is_gathered(plugin, road):
    """A forgotten collect leaves nothing: not what is gathered, nor closed, nor blocked."""
    plugin.fail = {"ada": 1}
    await plugin.send(0, "ada")
    await plugin.digest()
    await plugin.send(1, "ada", "ben")
    await plugin.send(2, "ben")
    assert (await forgetting.look(road.client, DIGEST)).waiting == 4
    left = await forgetting.forget(road.client, DIGEST)
    assert (left.known, left.waiting) == (True, 4)
    assert await plugin.left() == []
    [delivery] = (await plugin.of("ada")).deliveries
    assert delivery.status == "skipped"
    assert not (await forgetting.look(road.client, DIGEST)).known


async def test_no_request_passes_for_a_batch(plugin, road):
    """A webhook that calls itself a batch goes to no handler."""
    event = await road.append(category="receiver:batch", n=1)
    await road.dispatch()
    assert (await road.history(event)).deliveries == ()


async def test_a_handler_that_gathers_no_more_rests(road):
    """What was gathered for a handler that is an ordinary one now waits, and keeps no drain running."""
    digest = road.handlers.collect(quiet=0, longest=1, name="digest")(nothing)

    async def gather(event, context):
        await context.gather(digest, "key")

    road.handlers.on("*", name="gather")(gather)
    await road.append()
    await road.dispatch()
    await road.drain_lane((await road.lanes())[0])
    [lane] = await road.lanes()
    handler = replace(next(one for one in road.handlers if one.name == "test.digest"), window=None)
    drain = Drain(Lane(road.client, lane), handler, road)
    assert await drain.begin()
    assert (await drain.run()).state == "resting"


async def test_people_of_a_repeated_attempt(road, monkeypatch):
    """With very many keys, of which one is missing in the repeated attempt, no other one is left out."""
    monkeypatch.setattr(gathering, "AT_ONCE", 10)
    digest = road.handlers.collect(quiet=60, longest=60, name="digest")(nothing)
    people = [f"u{n:04}" for n in range(200)]

    async def gather(event, context):
        if context.attempt == 1:
            run, parts = gathering._GATHER.run, []

            async def some(*arguments):
                parts.append(arguments)
                if len(parts) > 5:
                    raise ConnectionError
                return await run(*arguments)

            with monkeypatch.context() as patched:
                patched.setattr(gathering, "_GATHER", SimpleNamespace(run=some))
                await context.gather(digest, *people)
        await context.gather(digest, *people[1:])

    road.handlers.on("*", name="gather")(gather)
    await road.append()
    await road.dispatch()
    for _ in range(2):
        for lane in await road.lanes():
            if lane.startswith("test.gather"):
                await road.client.zadd(keys.lane(lane, "held"), {"c1": 0}, xx=True)
                await road.drain_lane(lane)
    found = {
        key.decode()
        for lane in await road.lanes()
        for key in await road.client.zrange(keys.lane(lane, "gathering"), 0, -1)
    }
    assert found >= set(people[1:])
