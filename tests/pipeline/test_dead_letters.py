"""Dead letters: read with their events, retried with all their attempts, discarded, and dropped when over."""

from __future__ import annotations

import asyncio

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from receiver.errors import SendbirdRefused
from receiver.pipeline import dead_letters, forgetting, histories, keys, routes
from receiver.pipeline.dead_letters import Wanted
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.lanes import Lane
from receiver.pipeline.marks import Mark
from tests.pipeline.collecting import Collecting, let_time_pass

HANDLER = "test.h"


class Letters:
    """A road whose handlers `h` and `other` refuse what `refused` and `refused_by_other` hold."""

    def __init__(self, road):
        self.road = road
        self.refused = set()
        self.refused_by_other = set()
        self.seen = []

        async def handler(event, context):
            self.seen.append((event.raw["n"], context.attempt))
            if event.raw["n"] in self.refused:
                raise SendbirdRefused(f"no {event.raw['n']} for you")

        async def other(event, context):
            if event.raw["n"] in self.refused_by_other:
                raise SendbirdRefused("neither")

        road.handlers.on("group_channel:*", name="h")(handler)
        road.handlers.on("group_channel:*", name="other")(other)

    async def die(self, *numbers, conversation="c1"):
        """Have events die at `h`; return their ids."""
        self.refused |= set(numbers)
        ids = [await self.road.append(conversation, n=n, text="ö\x00") for n in numbers]
        await self.work()
        return ids

    async def work(self):
        """Dispatch and drain until no lane holds anything."""
        await self.road.dispatch()
        while lanes := await self.road.lanes():
            for lane in lanes:
                await let_time_pass(self.road, lane)
                await self.road.drain_lane(lane)

    async def leave_the_inbox(self):
        """Have everything finished trimmed. (The last event stays, for the cursor.)"""
        self.refused.discard("last")
        await self.road.append("elsewhere", n="last")
        await self.work()
        await Housekeeper(self.road.client, -1).trim()
        assert await self.road.inbox.length() == 1

    async def find(self, **wanted):
        return [one async for one in dead_letters.find(self.road.client, Wanted(**wanted))]

    async def retry(self, **wanted):
        found = await self.find(**wanted)
        return await dead_letters.retry(self.road.client, self.road.blocking, found)

    async def discard(self, **wanted):
        return await dead_letters.discard(self.road.client, await self.find(**wanted))

    async def bury(self):
        return await Housekeeper(self.road.client, 3600).bury()

    async def left(self):
        """Return the keys in Redis that letters leave."""
        found = [
            *await self.road.client.keys("receiver:letter:*"),
            *await self.road.client.keys("receiver:batch:*"),
            *await self.road.client.keys(keys.DEAD),
            *await self.road.client.keys(keys.REVIVED),
        ]
        return sorted(key.decode() for key in found)

    async def status(self, event_id, handler=HANDLER):
        history = await self.road.history(event_id)
        return next(one.status for one in history.deliveries if one.handler == handler)


@pytest.fixture
def letters(road):
    return Letters(road)


class TestFind:
    """What is found, with which filters."""

    async def test_letters_come_with_their_event_and_history(self, letters):
        """A letter has its envelope, byte for byte, its handler, its attempts, and when it died."""
        [event_id] = await letters.die(1)
        [letter] = await letters.find()
        _, envelope = await letters.road.inbox.find(event_id)
        assert letter.envelope == envelope
        assert (letter.handler, letter.delivery.status) == (HANDLER, "dead")
        assert "no 1 for you" in letter.error
        assert letter.died >= letter.delivery.attempts[-1].ended - 1

    async def test_it_needs_no_inbox(self, letters):
        """A letter is the same when its event has left the inbox."""
        await letters.die(1)
        before = await letters.find()
        await letters.leave_the_inbox()
        assert await letters.find() == before

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"handler": HANDLER}, {1, 2}),
            ({"handler": "test.none"}, set()),
            ({"category": "group_channel:message_send"}, {1, 2}),
            ({"category": "group_channel:*"}, {1, 2}),
            ({"category": "user:*"}, set()),
            ({"error": "NO 2"}, {2}),
            ({"until": 10.0}, set()),
            ({"since": 1e15}, set()),
        ],
    )
    async def test_filters(self, letters, wanted, expected):
        """Each filter lets through what it says."""
        await letters.die(1, 2)
        assert {number_of(one) for one in await letters.find(**wanted)} == expected

    async def test_ids(self, letters):
        """Ids let through exactly theirs."""
        _, second = await letters.die(1, 2)
        assert [one.envelope.id for one in await letters.find(ids=frozenset([second]))] == [second]

    async def test_pages(self, letters, monkeypatch):
        """However many died in one millisecond, each is found once."""
        monkeypatch.setattr(dead_letters, "PAGE", 3)
        ids = await letters.die(*range(10))
        for name in await letters.road.client.zrange(keys.DEAD, 0, 6):
            await letters.road.client.zadd(keys.DEAD, {name: 1})
        found = [one.envelope.id for one in await letters.find()]
        assert sorted(found) == sorted(ids)

    async def test_an_event_that_was_lost(self, letters):
        """A letter whose event somebody had deleted is found, and can be discarded."""
        await letters.road.append(n=1)
        await letters.road.dispatch()
        await letters.road.client.delete(keys.INBOX)
        await letters.road.drain()
        assert {one.handler for one in await letters.find()} == {HANDLER, "test.other"}
        assert await letters.discard() == 2
        assert await letters.left() == []


def number_of(letter):
    return int(letter.envelope.body.split(b'"n":')[1].split(b",")[0])


class TestRetry:
    """A letter that is retried is a delivery like any other."""

    @pytest.mark.parametrize("trimmed", [False, True])
    async def test_it_runs_again(self, letters, trimmed):
        """A retried letter is delivered, whether or not its event is still in the inbox."""
        await letters.die(1)
        if trimmed:
            await letters.leave_the_inbox()
        letters.refused = set()
        assert await letters.retry() == 1
        assert await letters.find() == []
        await letters.work()
        assert [one for one in letters.seen if one[0] == 1] == [(1, 1), (1, 2)]

    async def test_it_has_all_its_attempts_again(self, road):
        """After a retry a delivery may fail as often as before, and its history goes on."""
        failing = True

        async def handler(event, context):
            if failing:
                raise RuntimeError("not yet")

        road.handlers.on("*", name="h", retries=1)(handler)
        letters = Letters.__new__(Letters)
        letters.road, letters.refused = road, set()
        event_id = await road.append(n=1)
        await letters.work()
        await letters.retry()
        await letters.work()
        [delivery] = (await road.history(event_id)).deliveries
        assert (delivery.status, [one.number for one in delivery.attempts]) == ("dead", [1, 2, 3, 4])

    async def test_it_goes_behind_what_waits(self, letters):
        """A retried letter runs after the events of its conversation that wait already."""
        await letters.die(1)
        letters.refused = set()
        await letters.road.append(n=2)
        await letters.road.dispatch()
        await letters.retry()
        await letters.work()
        assert [n for n, _ in letters.seen] == [1, 2, 1]

    async def test_a_sleeping_lane_is_woken_once(self, letters):
        """However many letters go back into a lane, one drain is enqueued for them."""
        await letters.die(1, 2, 3)
        blocking = letters.road.blocking
        queue = Queue(routes.queue_of(HANDLER), connection=blocking, serializer=JSONSerializer)
        queue.empty()
        assert await letters.retry(error="no 1") == 1
        assert await letters.retry() == 2
        [job] = queue.jobs
        assert job.args == [routes.lane_of(HANDLER, "c1")]

    async def test_its_conversation_is_kept_apart(self, letters):
        """A retried letter whose event has left the inbox waits where its conversation is held."""
        await letters.die(1)
        await letters.leave_the_inbox()
        letters.refused = set()
        await letters.road.append(n=2)
        await letters.road.dispatch()
        [lane] = [one for one in await letters.road.lanes() if one.startswith(HANDLER)]
        await letters.road.client.zadd(keys.lane(lane, "held"), {"c1": 10**14})
        await letters.retry()
        await letters.road.drain_lane(lane)
        assert [n for n, _ in letters.seen if n in (1, 2)] == [1]
        assert await letters.road.client.llen(keys.lane(lane, "parked:c1")) == 2

    async def test_a_worker_that_dies_with_it(self, letters):
        """A letter that a dead worker had goes back into its conversation, and is delivered."""
        await letters.die(1)
        await letters.leave_the_inbox()
        letters.refused = set()
        await letters.retry()
        [name] = await letters.road.lanes()
        lane = Lane(letters.road.client, name)
        await lane.begin()
        [taken] = (await lane.turn([], want=10, share=10, enough=[])).events
        assert taken.envelope.conversation == "c1"
        await letters.road.client.set(keys.lane(name, "owner"), "dead 1 killed")
        assert await Lane(letters.road.client, name).begin() == 1
        assert await letters.road.client.llen(keys.lane(name, "parked:c1")) == 1  # alone: it is to blame
        await letters.road.client.delete(keys.lane(name, "owner"))
        await letters.work()
        assert letters.seen[-1] == (1, 3)

    async def test_once(self, road):
        """What happened under `once` before a letter died doesn't happen again."""
        effects, failing = [], True

        async def handler(event, context):
            async with context.once("mail") as first:
                if first:
                    effects.append("mail")
            if failing:
                raise SendbirdRefused("never")

        road.handlers.on("*", name="h")(handler)
        letters = Letters.__new__(Letters)
        letters.road, letters.refused = road, set()
        await road.append(n=1)
        await letters.work()
        failing = False
        await letters.retry()
        await letters.work()
        assert effects == ["mail"]
        assert await letters.find() == []

    async def test_twice_at_once(self, letters):
        """Two who retry the same letters retry each once."""
        await letters.die(1, 2)
        found = await letters.find()
        client, blocking = letters.road.client, letters.road.blocking
        numbers = await asyncio.gather(*(dead_letters.retry(client, blocking, found) for _ in range(2)))
        assert sorted(numbers) == [0, 2]

    async def test_it_keeps_the_mark_of_a_replay(self, letters):
        """The letter of a replayed event says so when it is retried."""
        [event_id] = await letters.die(1)
        entry, _ = await letters.road.inbox.find(event_id)
        await letters.road.client.hset(keys.letter(entry), keys.REPLAY, Mark("abc").to_json())
        await letters.leave_the_inbox()
        [letter] = await letters.find()
        assert letter.envelope.replay_of == "abc"
        await letters.retry()
        [name] = await letters.road.lanes()
        lane = Lane(letters.road.client, name)
        await lane.begin()
        [taken] = (await lane.turn([], want=1, share=1, enough=[])).events
        assert taken.envelope.replay_of == "abc"

    async def test_a_handler_that_is_gone(self, letters):
        """A letter whose handler was forgotten waits in its lane until the handler is back."""
        await letters.die(1)
        await forgetting.forget(letters.road.client, HANDLER)
        assert len(await letters.find(handler=HANDLER)) == 1
        letters.refused = set()
        assert await letters.retry() == 1
        assert (await forgetting.look(letters.road.client, HANDLER)).waiting == 1
        assert await letters.bury() == 0
        await letters.work()
        assert letters.seen == [(1, 1), (1, 2)]


class TestAfterwards:
    """What is left of a letter when its deliveries have ended."""

    @pytest.mark.parametrize("trimmed", [False, True])
    async def test_done(self, letters, trimmed):
        """When a retried delivery is done, letter and copies go; its history goes with the event."""
        [event_id] = await letters.die(1)
        entry, _ = await letters.road.inbox.find(event_id)
        if trimmed:
            await letters.leave_the_inbox()
        letters.refused = set()
        await letters.retry()
        assert await letters.bury() == 0
        await letters.work()
        assert await letters.bury() == 1
        assert await letters.left() == []
        assert await letters.road.client.exists(keys.event(entry)) == (not trimmed)

    async def test_dead_again(self, letters):
        """A retried letter that dies again is a dead letter as before."""
        await letters.die(1)
        await letters.leave_the_inbox()
        await letters.retry()
        await letters.work()
        assert await letters.bury() == 1
        [letter] = await letters.find()
        assert [one.number for one in letter.delivery.attempts] == [1, 2]
        assert await letters.road.client.zcard(keys.REVIVED) == 0

    async def test_two_handlers(self, letters):
        """A letter that two handlers need stays until both have done with it."""
        letters.refused_by_other = {1}
        await letters.die(1)
        await letters.leave_the_inbox()
        assert len(await letters.find()) == 2
        letters.refused = set()
        await letters.retry(handler=HANDLER)
        await letters.work()
        assert await letters.bury() == 1
        [letter] = await letters.find()
        assert (letter.handler, number_of(letter)) == ("test.other", 1)
        letters.refused_by_other = set()
        await letters.retry()
        await letters.work()
        assert await letters.bury() == 1
        assert await letters.left() == []

    async def test_two_handlers_of_which_one_is_quicker(self, letters):
        """A letter that two handlers retry stays for the second one when the first has done with it."""
        letters.refused_by_other = {1}
        await letters.die(1)
        await letters.leave_the_inbox()
        letters.refused = letters.refused_by_other = set()
        assert await letters.retry() == 2
        [lane] = [one for one in await letters.road.lanes() if one.startswith(HANDLER)]
        await letters.road.drain_lane(lane)
        assert await letters.bury() == 1
        await letters.work()
        assert await letters.find() == []  # it had its event: without that it would be dead again
        assert await letters.bury() == 1
        assert await letters.left() == []

    async def test_many(self, letters, monkeypatch):
        """Those that have ended are found among many that haven't."""
        monkeypatch.setattr("receiver.pipeline.housekeeping.PAGE", 2)
        await letters.die(*range(5))
        await letters.die(*range(5, 10), conversation="c2")
        letters.refused = set()
        await letters.retry()
        done = await letters.find()
        assert done == []
        [lane, *_] = await letters.road.lanes()
        await letters.road.drain_lane(lane)
        assert await letters.bury() == 5
        assert await letters.road.client.zcard(keys.REVIVED) == 5

    async def test_what_any_lane_has_gathered(self, letters):
        """A letter whose event may be gathered stays, whichever of the lanes that is."""
        [event_id] = await letters.die(1)
        entry, _ = await letters.road.inbox.find(event_id)
        await letters.leave_the_inbox()
        letters.refused = set()
        await letters.retry()
        await letters.work()
        names = ["test.digest/0", "test.digest/1"]
        await letters.road.client.hset(keys.LANES, mapping=dict.fromkeys(names, "resting"))
        for name in names:
            kept = keys.lane(name, "kept")
            await letters.road.client.zadd(kept, {"gathered ada": entry.split("-")[0]})
            assert await letters.bury() == 0
            await letters.road.client.delete(kept)
        assert await letters.bury() == 1

    async def test_the_dispatcher_sees_to_it(self, letters):
        """Housekeeping drops what is over by itself."""
        await letters.die(1)
        letters.refused = set()
        await letters.retry()
        await letters.work()
        await letters.road.dispatcher._trim()
        assert await letters.left() == []


class TestDiscard:
    """Nothing is left of what is discarded."""

    @pytest.mark.parametrize("trimmed", [False, True])
    async def test_everything_goes(self, letters, trimmed):
        """Letter, copy, and the history of an event that has left the inbox go."""
        [event_id] = await letters.die(1)
        entry, _ = await letters.road.inbox.find(event_id)
        if trimmed:
            await letters.leave_the_inbox()
        assert await letters.discard() == 1
        assert await letters.left() == []
        assert await letters.road.client.exists(keys.event(entry)) == (not trimmed)
        if not trimmed:
            assert await letters.status(event_id) == "skipped"

    async def test_what_died_again(self, letters):
        """Of a letter that was retried and died again nothing is left either."""
        await letters.die(1)
        await letters.retry()
        await letters.work()
        assert await letters.discard() == 1
        assert await letters.left() == []

    async def test_what_another_handler_needs_stays(self, letters):
        """Discarding one handler's letter leaves the other's."""
        letters.refused_by_other = {1}
        await letters.die(1)
        await letters.leave_the_inbox()
        assert await letters.discard(handler=HANDLER) == 1
        [letter] = await letters.find()
        assert (letter.handler, letter.delivery.status, number_of(letter)) == ("test.other", "dead", 1)

    async def test_what_is_retried_for_another_handler_stays(self, letters):
        """Discarding one handler's letter leaves the event to the other's retry."""
        letters.refused_by_other = {1}
        await letters.die(1)
        await letters.leave_the_inbox()
        await letters.retry(handler="test.other")
        await letters.discard(handler=HANDLER)
        letters.refused_by_other = set()
        await letters.work()
        [name] = await letters.road.client.zrange(keys.REVIVED, 0, -1)
        [history] = await histories.load(letters.road.client, [name.decode().split()[0]])
        assert "done" in [one.status for one in history.deliveries if one.handler == "test.other"]

    @pytest.mark.parametrize("act", ["retry", "discard"])
    async def test_dead_again_since_it_was_found(self, letters, act):
        """A letter that was retried and has died again is another one than was found: it stays."""
        await letters.die(1)
        client, blocking = letters.road.client, letters.road.blocking
        [name] = await client.zrange(keys.DEAD, 0, 0)
        await client.zadd(keys.DEAD, {name: 1})
        found = await letters.find()
        await letters.retry()
        await letters.work()
        [again] = await letters.find()
        if act == "retry":
            assert await dead_letters.retry(client, blocking, found) == 0
        else:
            assert await dead_letters.discard(client, found) == 0
        assert await letters.find() == [again]
        assert await dead_letters.discard(client, [again]) == 1

    async def test_a_full_redis(self, letters):
        """Letters can be discarded when Redis takes nothing new: it makes room."""
        await letters.die(1)
        await letters.road.client.config_set("maxmemory", 1)
        try:
            assert await letters.discard() == 1
        finally:
            await letters.road.client.config_set("maxmemory", 0)


class TestBatches:
    """Dead batches, and retried events that are gathered."""

    async def test_a_dead_batch_is_retried_after_the_retention(self, road):
        """A dead batch has its events when it is retried, and leaves nothing when it is done."""
        plugin = Collecting(road, retries=0)
        plugin.fail = {"ada": 1}
        for n in range(3):
            await plugin.send(n, "ada")
        await plugin.digest()
        await road.append("last", n=9)
        await plugin.gather()
        assert await Housekeeper(road.client, -1).trim() == 4
        [letter] = [one async for one in dead_letters.find(road.client, Wanted())]
        assert letter.envelope.source == "batch"
        assert await dead_letters.retry(road.client, road.blocking, [letter]) == 1
        await plugin.finish()
        assert plugin.batches == [("ada", [0, 1, 2])]
        assert await Housekeeper(road.client, 3600).bury() == 1
        left = [*await road.client.keys("receiver:batch:*"), *await road.client.keys("receiver:letter:*")]
        assert left == []

    async def test_a_dead_batch_is_discarded_with_its_copies(self, road):
        """Nothing is left of a batch that is discarded."""
        plugin = Collecting(road, retries=0)
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        await plugin.digest()
        found = [one async for one in dead_letters.find(road.client, Wanted())]
        assert await road.client.keys("receiver:batch:*") != []
        assert await dead_letters.discard(road.client, found) == 1
        assert await road.client.keys("receiver:batch:*") == []

    async def test_a_copy_keeps_the_mark_of_a_replay(self, road):
        """The event of a dead batch that can be read from its letter only is copied with its mark."""
        plugin = Collecting(road, retries=0)
        plugin.fail = {"ada": 1}
        await plugin.send(0, "ada")
        [(entry, fields)] = await road.client.xrange(keys.INBOX)
        mark = Mark("abc").to_json()
        await road.client.hset(keys.letter(entry.decode()), mapping={**fields, keys.REPLAY: mark})
        await road.client.xdel(keys.INBOX, entry)
        await plugin.digest()
        [batch] = [one async for one in dead_letters.find(road.client, Wanted())]
        copies = await road.client.xrange(keys.batch(batch.envelope.id))
        assert copies == [(entry, {**fields, keys.REPLAY.encode(): mark})]

    @pytest.mark.parametrize("dies", [False, True])
    async def test_a_retried_event_can_be_gathered(self, road, dies):
        """An event that has left the inbox is gathered by its retry, and read when its batch is handled."""
        plugin = Collecting(road, retries=0)
        refused = True

        async def late(event, context):
            if refused:
                raise SendbirdRefused("not now")
            await context.gather(plugin.collect, "ada")

        road.handlers.on("user:*", name="late")(late)
        await road.append("c1", n=7, category="user:block")
        await plugin.gather()
        for lane in await plugin.lanes("test.late"):
            await road.drain_lane(lane)
        await road.append("last", n=9)
        await plugin.gather()
        assert await Housekeeper(road.client, -1).trim() == 1
        refused = False
        found = [one async for one in dead_letters.find(road.client, Wanted())]
        assert await dead_letters.retry(road.client, road.blocking, found) == 1
        for lane in await plugin.lanes("test.late"):
            await road.drain_lane(lane)
        assert await Housekeeper(road.client, 3600).bury() == 0  # gathered, and nowhere else
        plugin.fail = {"ada": 1 if dies else 0}
        await plugin.digest()
        assert plugin.begun[0][:2] == ("ada", [7])
        assert await Housekeeper(road.client, 3600).bury() == 1
        if dies:
            [batch] = [one async for one in dead_letters.find(road.client, Wanted())]
            await dead_letters.retry(road.client, road.blocking, [batch])
            await plugin.digest()
        assert plugin.batches == [("ada", [7])]
