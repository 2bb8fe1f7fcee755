"""When batches close, and what is in them: each event once, in order, one batch of a key at a time."""

from __future__ import annotations

import asyncio
import time

import pytest

from receiver.events import Batch
from receiver.pipeline import drain, gathering, keys
from receiver.pipeline.lanes import Lane
from tests.pipeline.collecting import (
    DIGEST,
    GATHER,
    Collecting,
    due,
    in_order,
    lane_of,
    let_time_pass,
    queue_of,
)


async def test_events_of_a_key_come_as_one_batch_in_order(plugin):
    """After the quiet the handler gets what was gathered, typed, in the order of the inbox; nothing stays."""
    for n in range(5):
        await plugin.send(n, "ada", conversation=f"c{n}")
    assert [left.state for left in (await plugin.drain()).values()] == ["resting"]
    assert plugin.batches == []
    await plugin.finish()
    assert plugin.batches == [("ada", [0, 1, 2, 3, 4])]
    assert await plugin.left() == []
    assert await plugin.road.lanes() == []


async def test_a_batch_is_an_event(plugin, road):
    """A batch has an id of its own in the usual form, a category, its key as conversation, and deliveries."""
    seen = []
    handlers = road.handlers

    async def look(batch, context):
        seen.append(batch)

    collect = handlers.collect(quiet=0, longest=0, name="look")(look)
    plugin.collect = collect
    before = time.time_ns() // 1_000_000
    first, second = await plugin.send(0, 'odd "/\\\x00\x7f\nkäy\U0001f600'), await plugin.send(1, "ada")
    await road.drain()
    odd, ada = sorted(seen, key=lambda batch: batch.key == "ada")
    assert (odd.key, odd.conversation) == ('odd "/\\\x00\x7f\nkäy\U0001f600',) * 2
    assert [one.id for one in (*odd.events, *ada.events)] == [first, second]
    assert isinstance(odd, Batch)
    assert (odd.category, odd.raw["handler"]) == ("receiver:batch", "test.look")
    assert len(odd.id) == 24
    assert before <= int(odd.id[:12], 16) == odd.received_at.timestamp() * 1000
    assert odd.id != ada.id
    assert (await road.delivery(odd.id)).status == "done"
    await road.dispatch()  # passes over it: it is in its lane, and "*" doesn't mean batches
    assert [one.handler for one in (await road.history(odd.id)).deliveries] == ["test.look"]


async def test_every_event_puts_the_close_off_until_the_longest(road):
    """A batch closes `quiet` after its last event, but at the latest `longest` after its first."""
    plugin = Collecting(road, quiet=100, longest=150)
    before = time.time() * 1000
    await plugin.send(0, "ada")
    assert before + 100_000 <= await due(road, "ada") <= time.time() * 1000 + 100_000
    gathered = keys.lane(lane_of("ada"), "gathered:ada")
    since = float(await road.client.hget(gathered, "since"))
    assert before - 1 <= since <= time.time() * 1000
    await road.client.hset(gathered, "since", round(since) - 40_000)
    middle = time.time() * 1000
    await plugin.send(1, "ada")
    assert middle + 99_999 <= await due(road, "ada") <= time.time() * 1000 + 100_000
    await road.client.hset(gathered, "since", round(since) - 60_000)
    await plugin.send(2, "ada")
    assert await due(road, "ada") == round(since) + 90_000


async def test_the_most_closes_at_once(road):
    """With its `most`-th event a batch is due, and its lane is woken at once, once."""
    plugin = Collecting(road, most=3)
    for n in range(2):
        await plugin.send(n, "ada")
    assert queue_of(road).job_ids == []
    await plugin.send(2, "ada")
    assert [job.args for job in queue_of(road).jobs] == [[lane_of("ada")]]
    await plugin.send(3, "ada")
    assert len(queue_of(road).job_ids) == 1
    await plugin.drain()
    assert plugin.batches == [("ada", [0, 1, 2])]  # the fourth begins a new window
    await plugin.finish()
    assert plugin.batches == [("ada", [0, 1, 2]), ("ada", [3])]


async def test_a_burst_is_cut_into_batches_of_the_most(road):
    """What exceeds `most` comes in further batches; the last one waits for its own quiet."""
    plugin = Collecting(road, most=4, quiet=50, longest=100)
    for n in range(11):
        await road.append(n=n, gather=["ada"])
    await plugin.gather()
    gathered = keys.lane(lane_of("ada"), "gathered:ada")
    await road.client.hset(gathered, "since", 1)
    ninth, _ = (await road.inbox.latest(3))[-1]
    await plugin.drain()
    assert plugin.batches == [("ada", [0, 1, 2, 3]), ("ada", [4, 5, 6, 7])]
    assert await road.client.hget(gathered, "since") == ninth.partition("-")[0].encode()
    assert time.time() * 1000 + 40_000 < await due(road, "ada") <= time.time() * 1000 + 50_000
    await plugin.finish()
    assert plugin.batches[2:] == [("ada", [8, 9, 10])]
    assert await plugin.left() == []


@pytest.mark.parametrize("count", [3, 300, 700])
async def test_a_batch_is_in_order_however_it_was_gathered(road, count):
    """Events that were gathered out of order, also far more than Redis keeps packed, come in order."""
    plugin = Collecting(road, quiet=0, longest=0)
    for n in range(count):
        await road.append(f"c{n}", n=n, gather=["ada"])
    await road.dispatch()
    lanes = await plugin.lanes(GATHER)
    for lane in reversed(lanes):
        await road.drain_lane(lane)
    assert len(lanes) > 2
    await plugin.finish()
    assert plugin.batches == [("ada", list(range(count)))]
    batch = next(one for _, one in await road.inbox.latest(1) if one.source == "batch")
    assert in_order(Batch(batch).entries)


async def test_entries_of_one_millisecond_are_in_order(plugin, road):
    """Where Redis gives many entries the same millisecond, their numbers decide."""
    ms = 1_900_000_000_000
    fields = {**dict.fromkeys(keys.FIELDS, "x"), "received": 1, "category": "a:b"}
    for number in (10_000, 9_999, 5_000, 90, 10):
        entry = f"{ms}-{number}"
        await road.client.hset(keys.event(entry), GATHER, "waiting 0 0")
        await gathering.gather(road.client, road.blocking, plugin.collect, ["ada"], entry=entry, guard="g")
    for number in (10, 90, 5_000, 9_999, 10_000):
        body = b'{"category":"a:b","n":%d}' % number
        await road.client.xadd(keys.INBOX, {**fields, "body": body}, id=f"{ms}-{number}")
    await plugin.digest()
    assert plugin.batches == [("ada", [10, 90, 5_000, 9_999, 10_000])]


async def test_what_is_due_first_comes_first(plugin, road):
    """Of several keys of a lane that are due, the first one's batch is begun first."""
    mates = [f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("k0")][:3]
    await plugin.send(0, *mates)
    dues = {name: n for n, name in enumerate(reversed(mates))}
    road.batches[DIGEST] = asyncio.Semaphore(1)  # else they begin at once, in whatever order they are read
    await road.client.zadd(keys.lane(lane_of("k0"), "gathering"), dues)
    await plugin.drain()
    assert [name for name, _, _ in plugin.begun] == list(reversed(mates))


async def test_a_redis_that_forgot_the_scripts_closes_batches(plugin, road):
    """After SCRIPT FLUSH batches close and end as before."""
    await plugin.send(0, "ada")
    await road.client.script_flush()
    await plugin.digest()
    assert plugin.batches == [("ada", [0])]


class TestOneAtATime:
    """One key has one closed batch at a time."""

    async def test_what_comes_while_a_batch_fails_is_for_the_next(self, plugin, road):
        """While a batch waits for its retry nothing else of its key closes, however due; others go on."""
        plugin.fail = {"ada": 2}
        await plugin.send(0, "ada")
        await plugin.digest()
        await plugin.send(1, "ada")
        await plugin.send(2, "ben")
        await plugin.digest()
        assert plugin.batches == [("ben", [2])]
        await plugin.send(3, "ada")
        await plugin.finish()
        assert plugin.batches == [("ben", [2]), ("ada", [0]), ("ada", [1, 3])]
        assert [(name, ns) for name, ns, _ in plugin.begun if name == "ada"] == [
            ("ada", [0]),
            ("ada", [0]),
            ("ada", [0]),
            ("ada", [1, 3]),
        ]
        assert await plugin.left() == []

    async def test_a_retried_batch_is_the_same(self, plugin):
        """Every attempt of a batch has its id and its events."""
        plugin.fail = {"ada": 3}
        await plugin.send(0, "ada")
        await plugin.digest()
        await plugin.send(1, "ada")
        await plugin.finish()
        first, *others = plugin.begun[:4]
        assert others == [first] * 3

    async def test_the_next_closes_when_it_would_have(self, plugin, road):
        """When the batch before has ended, the next one closes at the time at which it would have anyway."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        [left] = (await plugin.digest()).values()
        before = time.time() * 1000
        await plugin.send(1, "ada")
        blocked = await due(road, "ada")
        assert before + 3_600_000 <= blocked - keys.BLOCKED <= time.time() * 1000 + 3_600_000
        assert left.due < blocked - keys.BLOCKED
        await road.client.zadd(keys.lane(lane_of("ada"), "held"), {"ada": 1})
        [left] = (await plugin.drain()).values()
        assert (plugin.batches, left.state) == ([("ada", [0])], "resting")
        assert await due(road, "ada") == blocked - keys.BLOCKED == left.due

    async def test_a_full_next_one_waits_too(self, road):
        """Even `most` events don't close a second batch; it closes right behind the first."""
        plugin = Collecting(road, most=2)
        plugin.fail = {"ada": 1}
        for n in range(6):
            await plugin.send(n, "ada")
            await plugin.drain()
        assert plugin.batches == []
        await road.client.zadd(keys.lane(lane_of("ada"), "held"), {"ada": 1})
        await plugin.drain()
        assert plugin.batches == [("ada", [0, 1]), ("ada", [2, 3]), ("ada", [4, 5])]

    async def test_a_waiting_batch_keeps_its_lane_at_rest(self, plugin, road):
        """A blocked key doesn't make its lane look due: it rests until the retry."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        await plugin.send(1, "ada")
        held = {"ada": time.time() * 1000 + 60_000}
        await road.client.zadd(keys.lane(lane_of("ada"), "held"), held)
        [left] = (await plugin.drain()).values()
        assert (left.state, left.due) == ("resting", pytest.approx(held["ada"], abs=1))


async def test_a_full_redis_keeps_no_batch_from_closing(plugin, road):
    """A drain that has begun closes batches, and so makes room, when Redis takes nothing new."""
    await plugin.send(0, "ada")
    await let_time_pass(road, lane_of("ada"))
    lane = Lane(road.client, lane_of("ada"), plugin.collect.window)
    await lane.begin()
    await road.client.config_set("maxmemory", 1)
    try:
        turn = await lane.turn([], want=1, share=1, enough=[])
    finally:
        await road.client.config_set("maxmemory", 0)
    assert len(turn.events) == 1


async def test_many_batches_close_a_window_at_a_time(road, monkeypatch):
    """However many batches are due, a turn closes no more than the drain takes, nor than Redis can bear."""
    plugin = Collecting(road, quiet=0, longest=0)
    mates = [f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("k0")][:4]
    for n in range(3):
        await plugin.send(n, *mates)
    lane = Lane(road.client, lane_of("k0"), plugin.collect.window)
    await lane.begin()
    await lane.turn([], want=1, share=1, enough=[])
    assert await road.client.hlen(keys.lane(lane.name, "closed")) == 1
    monkeypatch.setattr("receiver.pipeline.lanes.CLOSED_AT_ONCE", 4)
    await lane.turn([], want=drain.WINDOW, share=1, enough=[])
    assert await road.client.hlen(keys.lane(lane.name, "closed")) == 3
