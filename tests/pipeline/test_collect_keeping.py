"""What is gathered stays in the inbox, and what has left it stops nothing."""

from __future__ import annotations

from receiver.pipeline import keys, routes
from receiver.pipeline.housekeeping import Housekeeper
from tests.pipeline.collecting import GATHER, Collecting, lane_of, next_millisecond


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
