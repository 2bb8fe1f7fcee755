"""Dead letters of which nothing is left to do, and those of batches."""

from __future__ import annotations

import pytest

from receiver.errors import SendbirdRefused
from receiver.pipeline import dead_letters, keys
from receiver.pipeline.dead_letters import Wanted
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.marks import Mark
from tests.pipeline.collecting import Collecting
from tests.pipeline.lettering import HANDLER, number_of


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
