"""Batches that die, and are retried."""

from __future__ import annotations

import pytest

from receiver.errors import SendbirdRefused
from receiver.pipeline import keys
from receiver.pipeline.housekeeping import Housekeeper
from tests.pipeline.collecting import DIGEST, Collecting, due, lane_of


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
