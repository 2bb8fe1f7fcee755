"""Collects: events are gathered by key, and handed over in batches, once, in order, through anything."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from receiver.embedded import EmbeddedRedis
from receiver.errors import Fenced, SendbirdRefused
from receiver.events import Batch
from receiver.pipeline import drain, forgetting, gathering, jobs, keys, reaper, routes
from receiver.pipeline.connection import connect, connect_blocking
from receiver.pipeline.drain import Drain
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.lanes import Lane
from receiver.pipeline.reaper import Reaper
from tests.pipeline.collecting import DIGEST, GATHER, Collecting, crash, in_order, let_time_pass
from tests.pipeline.conftest import Road


@pytest.fixture
async def plugin(road):
    return Collecting(road)


def lane_of(name):
    return routes.lane_of(DIGEST, name)


def queue_of(road, handler=DIGEST):
    return Queue(routes.queue_of(handler), connection=road.blocking, serializer=JSONSerializer)


def scheduled(road):
    """Return the lanes of scheduled drains with their times."""
    registry = queue_of(road).scheduled_job_registry
    found = []
    for job_id in registry.get_job_ids():
        job = Job.fetch(job_id, connection=road.blocking, serializer=JSONSerializer)
        found.append((job.args[0], registry.get_scheduled_time(job_id).timestamp()))
    return sorted(found)


def unschedule(road):
    """Forget the scheduled drains."""
    for job_id in queue_of(road).scheduled_job_registry.get_job_ids():
        queue_of(road).scheduled_job_registry.remove(job_id)


async def next_millisecond(road):
    async def now():
        seconds, microseconds = await road.client.time()
        return seconds * 1000 + microseconds // 1000

    began = await now()
    while await now() == began:
        pass


async def due(road, name):
    return await road.client.zscore(keys.lane(lane_of(name), "gathering"), name)


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


class TestWaking:
    """A lane is woken when the first of its batches is due."""

    async def test_the_first_event_schedules_a_drain(self, plugin, road):
        """A lane without anything is scheduled; later closes schedule no more."""
        before = time.time()
        await plugin.send(0, "ada")
        [(lane, when)] = scheduled(road)
        assert lane == lane_of("ada")
        assert before + 3600 <= when <= time.time() + 3601
        assert await road.client.hget(keys.LANES, lane) == b"resting"
        unschedule(road)
        mate = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane)
        await plugin.send(1, "ada", mate)
        assert scheduled(road) == []

    async def test_an_earlier_close_schedules_an_earlier_drain(self, plugin, road):
        """A batch that closes before everything that the lane waits for has it woken then."""
        await plugin.send(0, "ada")
        name = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("ada"))
        lane = lane_of(name)
        await road.client.hset(keys.lane(lane, f"gathered:{name}"), "since", 1)  # `longest` is long over
        await road.client.hset(keys.lane(lane, f"gathered:{name}"), "0-1", "")
        await plugin.send(1, name)
        assert [job.args for job in queue_of(road).jobs] == [[lane]]
        assert await road.client.hget(keys.LANES, lane) == b"active"

    async def test_a_lane_that_rests_for_a_retry_is_woken_earlier(self, road):
        """A batch that closes before a retry of its lane is due schedules a drain; one after it doesn't."""
        plugin = Collecting(road, quiet=100, longest=100)
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        name = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("ada"))
        now = time.time() * 1000
        unschedule(road)
        await road.client.zadd(keys.lane(lane_of("ada"), "held"), {"ada": now + 50_000})
        await plugin.send(1, name)
        assert scheduled(road) == []
        await plugin.cancel(2, name)
        await road.client.zadd(keys.lane(lane_of("ada"), "held"), {"ada": now + 500_000})
        await plugin.send(3, name)
        [(lane, when)] = scheduled(road)
        assert lane == lane_of(name)
        assert when <= time.time() + 101

    async def test_a_blocked_key_wakes_nothing(self, plugin, road):
        """What can't close yet, since its key's batch waits for a retry, has its lane not woken."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        unschedule(road)
        await plugin.send(1, "ada")
        assert (scheduled(road), queue_of(road).job_ids) == ([], [])
        assert await road.client.hget(keys.LANES, lane_of("ada")) == b"resting"

    async def test_an_active_lane_is_not_woken(self, road):
        """A lane with a drain or a job looks for itself."""
        plugin = Collecting(road, quiet=0, longest=0)
        await plugin.send(0, "ada")
        for _ in range(3):
            await plugin.send(1, "ada")
        assert len(queue_of(road).job_ids) == 1

    async def test_a_released_lane_is_due_with_its_first_batch(self, plugin, road):
        """A drain that leaves a lane says when its first batch closes."""
        await plugin.send(0, "ada")
        [left] = (await plugin.drain()).values()
        assert (left.state, left.due) == ("resting", await due(road, "ada"))
        assert await road.client.hget(keys.LANES, lane_of("ada")) == b"resting"

    @pytest.mark.parametrize(("retry", "close"), [(50_000, 60_000), (60_000, 50_000)])
    async def test_a_released_lane_is_due_with_whatever_is_first(self, plugin, road, retry, close):
        """A lane that waits for a retry and a close is due with the earlier one."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        mate = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("ada"))
        await plugin.send(1, mate)
        now = round(time.time() * 1000)
        await road.client.zadd(keys.lane(lane_of("ada"), "held"), {"ada": now + retry})
        await road.client.zadd(keys.lane(lane_of("ada"), "gathering"), {mate: now + close})
        [left] = (await plugin.drain()).values()
        assert (left.state, left.due) == ("resting", now + 50_000)

    async def test_the_reaper_finds_a_lane_whose_wake_up_was_lost(self, plugin, road, monkeypatch):
        """A process that died between gathering and waking costs seconds; nothing is woken too early."""
        monkeypatch.setattr(reaper, "GRACE", 0.0)
        monkeypatch.setattr(gathering, "_wake", lambda *_: None)
        await plugin.send(0, "ada")
        overseer = Reaper(road.client, road.blocking)
        assert await overseer.reap() == []
        await road.client.zadd(keys.lane(lane_of("ada"), "gathering"), {"ada": 1})
        assert await overseer.reap() == [lane_of("ada")]
        assert [job.args for job in queue_of(road).jobs] == [[lane_of("ada")]]

    async def test_the_reaper_finds_a_lost_wake_up_at_once(self, road, monkeypatch):
        """So does one that died before it woke a lane for a batch that is due at once."""
        monkeypatch.setattr(reaper, "GRACE", 0.0)
        monkeypatch.setattr(gathering, "_wake", lambda *_: None)
        plugin = Collecting(road, most=1)
        await plugin.send(0, "ada")
        assert await Reaper(road.client, road.blocking).reap() == [lane_of("ada")]

    async def test_waking_speaks_rqs_language(self, road):
        """Lanes that are due are enqueued, those that are due later scheduled."""
        gathering._wake(road.blocking, [(f"{DIGEST}/1", 0), (f"{DIGEST}/2", 1_900_000_000_001.0)])
        assert [job.args for job in queue_of(road).jobs] == [[f"{DIGEST}/1"]]
        assert scheduled(road) == [(f"{DIGEST}/2", 1_900_000_001)]
        assert jobs.has_job(road.blocking, f"{DIGEST}/1")


class TestCancel:
    """What is gathered can be dropped."""

    async def test_it_drops_what_was_gathered_before(self, plugin):
        """A cancelled key has no batch, and leaves nothing; other keys keep theirs."""
        await plugin.send(0, "ada", "ben", "cyd")
        await plugin.send(1, "ada")
        await plugin.cancel(2, "ada", "ben", "nobody")
        await plugin.send(3, "ben")
        await plugin.finish()
        assert sorted(plugin.batches) == [("ben", [3]), ("cyd", [0])]
        assert await plugin.left() == []

    async def test_an_emptied_lane_is_forgotten(self, plugin, road):
        """A lane in which nothing is left leaves the list of lanes, and begins anew with the next event."""
        await plugin.send(0, "ada")
        await plugin.cancel(1, "ada")
        assert await plugin.lanes() == []
        unschedule(road)
        await plugin.send(2, "ada")
        assert [lane for lane, _ in scheduled(road)] == [lane_of("ada")]

    async def test_a_lane_with_something_left_is_kept(self, plugin, road):
        """A lane that still waits for a retry, or holds another key, or is at work, stays."""
        mate = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("ada"))
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        await plugin.send(1, mate)
        await plugin.cancel(2, mate)
        assert await plugin.lanes() == [lane_of("ada")]
        await plugin.finish()
        await plugin.send(3, "ada", mate)
        await plugin.cancel(4, "ada")
        assert await plugin.lanes() == [lane_of("ada")]
        await road.client.hset(keys.LANES, lane_of("ada"), "active")
        await plugin.cancel(5, mate)
        assert await plugin.lanes() == [lane_of("ada")]
        await plugin.finish()
        assert plugin.batches == [("ada", [0])]

    async def test_later_events_stay(self, plugin, road):
        """What was accepted after the cancelling event stays, though it was gathered before it ran."""
        await road.append("early", n=0, gather=["ada"])
        await road.append("slow", n=1, cancel=["ada"])
        await road.append("late", n=2, gather=["ada"])
        await road.dispatch()
        slow = routes.lane_of(GATHER, "slow")
        for lane in await plugin.lanes(GATHER):
            if lane != slow:
                await road.drain_lane(lane)
        await road.drain_lane(slow)
        await plugin.finish()
        assert plugin.batches == [("ada", [2])]

    async def test_the_same_millisecond_is_told_apart(self, plugin, road):
        """Of entries with one millisecond, those with a smaller number are earlier."""
        for number in (1, 9, 10, 11):
            entry = f"1900000000000-{number}"
            await road.client.hset(keys.event(entry), GATHER, "waiting 0 0")
            await gathering.gather(
                road.client, road.blocking, plugin.collect, ["ada"], entry=entry, guard="g"
            )
        await gathering.cancel(
            road.client, plugin.collect, ["ada"], None, entry="1900000000000-10", guard="c"
        )
        left = await road.client.hkeys(keys.lane(lane_of("ada"), "gathered:ada"))
        assert left == [b"since", b"1900000000000-10", b"1900000000000-11"] or sorted(left) == [
            b"1900000000000-10",
            b"1900000000000-11",
            b"since",
        ]

    async def test_one_conversation_only(self, plugin):
        """With a conversation only its events are dropped."""
        await plugin.send(0, "ada", conversation="a")
        await plugin.send(1, "ada", conversation="b")
        await plugin.send(2, "ada", conversation="a")
        await plugin.cancel(3, "ada", conversation="z", only="a")
        await plugin.finish()
        assert plugin.batches == [("ada", [1])]

    async def test_a_closed_batch_that_waits_is_skipped(self, plugin, road):
        """A closed batch that was cancelled ends as skipped, without running, and the next one can come."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        await plugin.cancel(1, "ada")
        assert (await plugin.of("ada")).cancelled
        history = await plugin.of("ada")
        await plugin.digest()
        [delivery] = (await plugin.of("ada")).deliveries
        assert (delivery.status, len(delivery.attempts)) == ("skipped", 1)
        assert history.deliveries[0].status == "retrying"
        await plugin.send(2, "ada")
        await plugin.finish()
        assert plugin.batches == [("ada", [2])]
        assert await plugin.left() == []

    async def test_a_conversations_cancel_spares_the_closed_batch(self, plugin):
        """With a conversation a closed batch is left as it is."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        await plugin.cancel(1, "ada", only="c1")
        assert not (await plugin.of("ada")).cancelled
        await plugin.finish()
        assert plugin.batches == [("ada", [0])]

    @pytest.mark.parametrize("order", [("slow", "slower"), ("slower", "slow")])
    async def test_a_closed_batch_keeps_later_events(self, plugin, road, order):
        """Of a closed batch, too, only what was accepted before the cancelling events is dropped."""
        plugin.fail = {"ada": 1}
        for conversation, body in (
            ("a", {"n": 0, "gather": ["ada"]}),
            ("slow", {"n": 1, "cancel": ["ada"]}),
            ("a", {"n": 2, "gather": ["ada"]}),
            ("slower", {"n": 3, "cancel": ["ada"]}),
            ("a", {"n": 4, "gather": ["ada"]}),
        ):
            await road.append(conversation, **body)
        await road.dispatch()
        await road.drain_lane(routes.lane_of(GATHER, "a"))
        await plugin.digest()
        for conversation in order:  # the older one takes nothing back
            await road.drain_lane(routes.lane_of(GATHER, conversation))
        await plugin.finish()
        assert plugin.begun[0][1] == [0, 2, 4]
        assert plugin.batches == [("ada", [4])]

    async def test_an_event_does_not_cancel_itself(self, plugin, road):
        """What cancels is kept where it was gathered itself, also in a closed batch."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        event = await plugin.send(1, "ada")
        await plugin.digest()
        entry, _ = await road.inbox.find(event)
        await gathering.cancel(road.client, plugin.collect, ["ada"], None, entry=entry, guard="x")
        await plugin.finish()
        assert plugin.batches == [("ada", [1])]

    async def test_what_runs_is_too_late_to_cancel(self, plugin, road):
        """A batch whose attempt runs is not stopped."""
        plugin.gate = asyncio.Event()
        await plugin.send(0, "ada")
        await road.client.zadd(keys.lane(lane_of("ada"), "gathering"), {"ada": 1})
        running = asyncio.create_task(road.drain_lane(lane_of("ada")))
        while not plugin.begun:
            await asyncio.sleep(0.005)
        await plugin.cancel(1, "ada")
        plugin.gate.set()
        await running
        assert plugin.batches == [("ada", [0])]

    async def test_it_counts_once(self, plugin, road):
        """A repeated attempt of the cancelling handler drops nothing that came between."""
        await plugin.send(0, "ada")
        event = await road.append("x", n=1, cancel=["ada"], fail=1)
        await road.dispatch()
        await road.drain_lane(routes.lane_of(GATHER, "x"))
        entry, _ = await road.inbox.find(event)
        await road.client.hset(keys.lane(lane_of("ada"), "gathered:ada"), "0-1", "")  # as if it came now
        await plugin.gather()
        assert plugin.attempts[-2:] == [(1, 1), (1, 2)]
        assert await road.client.hexists(keys.lane(lane_of("ada"), "gathered:ada"), "0-1")
        assert await road.client.hget(keys.event(entry), f"{GATHER} call 1 0") == b"1"


class TestKeeping:
    """Gathered events stay in the inbox as long as they are needed, and no longer."""

    async def inbox(self, road):
        return [one.conversation for _, one in reversed(await road.inbox.latest(100))]

    async def test_trimming_takes_no_gathered_event(self, plugin, road):
        """An event stays while it is gathered, closed, or retried, and goes after that."""
        mate = next(f"k{n}" for n in range(500) if lane_of(f"k{n}") == lane_of("ada"))
        plugin.fail = {"ada": 1}
        housekeeper = Housekeeper(road.client, -1)
        await plugin.send(0, "nobody", conversation="before")
        await plugin.finish()
        await plugin.send(1, "ada", conversation="kept")
        await next_millisecond(road)
        await plugin.send(2, mate, conversation="after")
        await housekeeper.trim()
        assert await self.inbox(road) == ["kept", "after"]
        await plugin.digest()
        await housekeeper.trim()
        assert (await self.inbox(road))[0] == "kept"
        await plugin.finish()
        assert plugin.batches[1:] == [(mate, [2]), ("ada", [1])]
        await road.append("last")
        await road.dispatch()
        await housekeeper.trim()
        assert await self.inbox(road) == ["last"]

    async def test_a_cancelled_event_is_not_kept(self, plugin, road):
        """What was cancelled keeps nothing back; what is left of the key does."""
        for conversation in ("a", "b", "c"):
            await plugin.send(1, "ada", conversation=conversation)
            await next_millisecond(road)
        await plugin.cancel(2, "ada", conversation="x", only="a")
        await Housekeeper(road.client, -1).trim()
        assert await self.inbox(road) == ["b", "c", "x"]
        await plugin.cancel(2, "ada", conversation="y")
        await Housekeeper(road.client, -1).trim()
        assert await self.inbox(road) == ["y"]

    async def test_what_a_full_batch_leaves_is_kept(self, road):
        """Events beyond the most are kept for the next batch when the first has ended."""
        plugin = Collecting(road, most=2)
        for n in range(3):
            await road.append(f"c{n}", n=n, gather=["ada"])
            await next_millisecond(road)  # the inbox is kept by the millisecond
        await plugin.gather()
        await plugin.drain()
        assert plugin.batches == [("ada", [0, 1])]
        await Housekeeper(road.client, -1).trim()
        assert (await self.inbox(road))[0] == "c2"
        await plugin.finish()
        assert plugin.batches == [("ada", [0, 1]), ("ada", [2])]

    async def test_an_older_event_that_is_gathered_late_is_kept(self, plugin, road):
        """The oldest event of a key counts, whatever the order of gathering."""
        await road.append("old", n=0, gather=["ada"])
        await next_millisecond(road)
        await road.append("new", n=1, gather=["ada"])
        await road.dispatch()
        for name in ("new", "old"):
            await road.drain_lane(routes.lane_of(GATHER, name))
        await road.append("last", n=2)
        await plugin.gather()
        await Housekeeper(road.client, -1).trim()
        assert await self.inbox(road) == ["old", "new", "last"]

    async def test_a_batch_with_lost_events_goes_on(self, plugin, road):
        """Events that somebody has deleted are left out; without any, a batch is dead at once."""
        first, second = await plugin.send(0, "ada"), await plugin.send(1, "ada", "ben")
        for event in (first, second):
            entry, _ = await road.inbox.find(event)
            await road.client.xdel(keys.INBOX, entry)
            if event == first:
                await road.client.zadd(keys.lane(lane_of("ada"), "gathering"), {"ada": 1})
                await plugin.drain()
        await plugin.finish()
        assert plugin.batches == [("ada", [1])]
        [delivery] = (await plugin.of("ben")).deliveries
        assert (delivery.status, len(delivery.attempts)) == ("dead", 1)
        assert "are gone" in delivery.attempts[0].error

    async def test_a_key_without_events_stops_nothing(self, plugin, road):
        """A key whose gathered events somebody has deleted makes no batch, and its lane goes on."""
        await plugin.send(0, "ada")
        await road.client.delete(keys.lane(lane_of("ada"), "gathered:ada"))
        await plugin.finish()
        await plugin.send(1, "ada")
        await plugin.finish()
        assert plugin.batches == [("ada", [1])]
        assert await plugin.left() == []

    async def test_a_batch_that_left_the_inbox_frees_its_key(self, plugin, road):
        """A batch whose own entry is gone is a dead letter, and its key may have another batch."""
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        [entry] = await road.client.hvals(keys.lane(lane_of("ada"), "closed"))
        await road.client.xdel(keys.INBOX, entry)
        await plugin.send(1, "ada")
        await plugin.finish()
        assert await road.client.zcard(keys.DEAD) == 1
        assert plugin.batches == [("ada", [1])]


class TestDeadLetters:
    """A dead batch can be retried as long as its letter is there."""

    @pytest.fixture
    async def dead(self, road):
        """A batch of three events that is dead, whose events have left the inbox."""
        plugin = Collecting(road, retries=0)
        plugin.fail = {"ada": 1}
        for n in range(3):
            await plugin.send(n, "ada", text="ö\x00\r\n")
        await plugin.digest()
        return plugin

    async def retry(self, road, found):
        """Put a dead batch back: the letter's envelope, as a new entry in its lane."""
        lane = lane_of("ada")
        letter = await road.client.hgetall(keys.letter(found))
        fields = {name: letter[name.encode()] for name in keys.FIELDS}
        entry = await road.client.xadd(keys.INBOX, fields)
        await road.client.hset(keys.event(entry.decode()), DIGEST, "waiting 0 0")
        await road.client.rpush(keys.lane(lane, "queue"), entry)
        await road.client.hset(keys.LANES, lane, "active")

    async def test_it_keeps_copies_of_its_events(self, dead, road):
        """After the retention a dead batch is retried with its events, as they came, as often as need be."""
        [letter] = await road.client.zrange(keys.DEAD, 0, -1)
        entry = letter.decode().split()[0]
        originals = [one for _, one in reversed(await road.inbox.latest(10)) if one.source != "batch"]
        await road.append("last", n=9)
        await dead.gather()
        assert await Housekeeper(road.client, -1).trim() == 4
        assert await road.inbox.length() == 1
        dead.fail = {"ada": 1}
        for _ in range(2):
            await self.retry(road, entry)
            await dead.drain()
        assert dead.batches == [("ada", [0, 1, 2])]
        assert len({batch_id for _, _, batch_id in dead.begun}) == 1
        [copies] = await road.client.keys("receiver:batch:*")
        stored = await road.client.xrange(copies)
        assert [fields[b"body"] for _, fields in stored] == [one.body for one in originals]

    async def test_it_may_die_again(self, dead, road):
        """A batch that is put back while its events are in the inbox, and dies again, keeps its copies."""
        [letter] = await road.client.zrange(keys.DEAD, 0, -1)
        dead.fail = {"ada": 1}
        await self.retry(road, letter.decode().split()[0])
        assert [left.state for left in (await dead.drain()).values()] == ["empty"]
        [copies] = await road.client.keys("receiver:batch:*")
        assert await road.client.xlen(copies) == 3

    async def test_the_dead_do_not_block(self, dead, road):
        """A key whose batch is dead has its next batch."""
        await dead.send(5, "ada")
        await dead.finish()
        assert dead.batches == [("ada", [5])]
        assert await dead.left() == []

    async def test_an_old_batch_that_ends_again_frees_nothing(self, dead, road):
        """The end of a batch that was put back doesn't end the batch that is closed meanwhile."""
        [letter] = await road.client.zrange(keys.DEAD, 0, -1)
        dead.fail = {}
        await self.retry(road, letter.decode().split()[0])
        await road.client.hset(keys.lane(lane_of("ada"), "closed"), "ada", "99-1")
        await dead.send(6, "ada")
        await dead.drain()
        assert await road.client.hget(keys.lane(lane_of("ada"), "closed"), "ada") == b"99-1"
        assert await due(road, "ada") > keys.BLOCKED

    async def test_other_letters_keep_no_copies(self, road):
        """Only batches have events to keep."""

        async def refuse(event, context):
            raise SendbirdRefused("never")

        road.handlers.on("*", name="h")(refuse)
        await road.append()
        await road.dispatch()
        await road.drain()
        assert await road.client.keys("receiver:batch:*") == []


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


async def nothing(batch, context):
    """A handler of batches."""


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
