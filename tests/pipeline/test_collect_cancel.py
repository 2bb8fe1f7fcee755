"""Taking back what was gathered."""

from __future__ import annotations

import asyncio

import pytest

from receiver.pipeline import gathering, keys, routes
from tests.pipeline.collecting import GATHER, lane_of, scheduled, unschedule


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
