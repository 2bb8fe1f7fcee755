"""Housekeeping: finished events go after the retention time, unfinished ones never."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from receiver.errors import NotStored, SendbirdRefused
from receiver.events.envelope import Envelope
from receiver.pipeline import keys
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.storage import Storage
from tests.pipeline.collecting import Collecting
from tests.pipeline.conftest import CATEGORY

ENVELOPE = Envelope("e1", "webhook", CATEGORY, "c1", "", 1, b"{}")


@pytest.fixture
async def handled(road):
    """A road whose handler fails for good on events with `bad`, and puts off those with `later`."""

    async def handler(event, context):
        if event.raw.get("bad"):
            raise SendbirdRefused("never")
        if event.raw.get("later"):
            context.retry_after(3600)

    road.handlers.on("*", name="h")(handler)
    return road


async def left(road):
    return [one.id for _, one in reversed(await road.inbox.latest(100))]


async def test_finished_events_past_their_retention_go(handled):
    """With no retention left, everything that is done is dropped, with its deliveries."""
    for _ in range(3):
        await handled.append()
    await handled.dispatch()
    await handled.drain()
    newest = (await left(handled))[-1]
    assert await Housekeeper(handled.client, -1).trim() == 2
    assert await left(handled) == [newest]  # the cursor's own entry stays
    assert (await handled.delivery(newest)).status == "done"


async def test_events_within_their_retention_stay(handled):
    """What is younger than the retention time stays."""
    await handled.append()
    await handled.append()
    await handled.dispatch()
    await handled.drain()
    assert await Housekeeper(handled.client, 3600).trim() == 0
    assert len(await left(handled)) == 2


async def test_nothing_goes_before_it_is_dispatched(handled):
    """Events that the dispatcher has not seen stay, however old they are."""
    await handled.append()
    assert await Housekeeper(handled.client, -1).trim() == 0
    assert len(await left(handled)) == 1


@pytest.mark.parametrize("where", ["queue", "taken"])
async def test_nothing_goes_past_an_unfinished_event(handled, where):
    """An event that a lane holds, wherever in it, stays, and so does what nobody has handled behind it."""
    await handled.append("done before")
    await handled.dispatch()
    await handled.drain()
    await handled.append("held", later=True)
    for _ in range(3):
        await handled.append("done after")
    await handled.dispatch()
    if where == "taken":
        for lane in await handled.lanes():
            drain = handled.drain_of(lane)
            await drain._lane.begin()
            await drain._lane.turn([], want=10, share=10, enough=[])
    assert await Housekeeper(handled.client, -1).trim() == 1
    assert len(await left(handled)) == 4


async def apart(road):
    """Let a moment pass: entries of one millisecond are dropped together or not at all."""
    before = (await road.client.time())[1] // 1000
    while (await road.client.time())[1] // 1000 == before:
        pass


class TestBehindAnUnfinishedEvent:
    """What is finished leaves in its time, although something before it has not ended."""

    async def fill(self, road, *bodies, conversation="c"):
        ids = []
        for n, body in enumerate(bodies):
            ids.append(await road.append(f"{conversation}{n}", **body))
            await apart(road)
        await road.append("last")
        await road.dispatch()
        return ids

    async def test_finished_events_go(self, handled):
        """An event that waits for long keeps itself, and nothing that came later and is done."""
        waits, *_, newest = await self.fill(handled, {"later": True}, {}, {"bad": True}, {}, {"later": True})
        await handled.drain()
        assert await Housekeeper(handled.client, 3600).trim() == 0
        assert await Housekeeper(handled.client, -1).trim() == 3
        assert (await left(handled))[:2] == [waits, newest]
        assert await handled.client.zcard(keys.DEAD) == 1
        assert len(await handled.client.keys("receiver:letter:*")) == 1
        assert len(await handled.client.keys("receiver:event:*")) == 3

    async def test_what_another_handler_waits_for_stays(self, handled):
        """An event is finished when all of its handlers are."""

        async def other(event, context):
            context.retry_after(3600)

        handled.handlers.on("*", name="other", retries=5)(other)
        ids = await self.fill(handled, {"later": True}, {}, {})
        await handled.drain()
        assert await Housekeeper(handled.client, -1).trim() == 0
        assert (await left(handled))[:3] == ids

    async def test_what_is_queued_stays(self, handled):
        """What nobody has begun stays, also where there is more of it than is looked at."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("receiver.pipeline.sweeping.AT_MOST", 2)
            ids = await self.fill(handled, *[{}] * 6)
            assert await Housekeeper(handled.client, -1).trim() == 0
            assert (await left(handled))[:6] == ids

    async def test_more_than_is_looked_at(self, handled):
        """Behind the last unfinished event of a lane that is looked at, nothing goes."""
        bodies = [{"later": True}, {}, {"later": True}, {}, {"later": True}, {}]
        for n, body in enumerate(bodies):
            await handled.append("same" if body else f"c{n}", **body)
            await apart(handled)
        await handled.append("last")
        await handled.dispatch()
        await handled.drain()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("receiver.pipeline.sweeping.AT_MOST", 2)
            assert await Housekeeper(handled.client, -1).trim() == 2
        assert await Housekeeper(handled.client, -1).trim() == 1

    async def test_what_is_gathered_stays(self, road):
        """From what is gathered on, and what an unfinished batch holds, nothing goes."""
        plugin = Collecting(road)
        plugin.fail = {"ann": 1}
        for n in range(1, 4):
            await plugin.send(n, "ann", conversation=f"c{n}")
            await apart(road)
        await plugin.send(4, conversation="c4")
        assert await Housekeeper(road.client, -1).trim() == 0
        await plugin.digest()
        assert await Housekeeper(road.client, -1).trim() == 0
        await plugin.finish()
        assert plugin.batches == [("ann", [1, 2, 3])]


async def test_nothing_goes_past_the_first_that_waits_apart(handled):
    """Of a conversation that waits, the inbox is kept from its first event on, not from a later one."""
    await handled.append("held", later=True)
    await handled.append("held")
    await handled.dispatch()
    await handled.drain()
    [lane] = await handled.lanes()
    assert await handled.client.llen(keys.lane(lane, "parked:held")) == 2
    assert await Housekeeper(handled.client, -1).trim() == 0
    assert len(await left(handled)) == 2


async def test_a_dead_letter_keeps_its_history(handled):
    """When the event of a dead letter leaves the inbox, its copy and its attempts stay."""
    event_id = await handled.append(bad=True)
    await handled.append()
    await handled.append()
    entry, _ = await handled.inbox.find(event_id)
    await handled.dispatch()
    await handled.drain()
    assert await Housekeeper(handled.client, -1).trim() == 2
    assert await handled.inbox.find(event_id) is None
    assert await handled.client.exists(keys.event(entry), keys.letter(entry)) == 2


class TestANearlyFullInbox:
    """Beyond three quarters of the limit, finished events go before their retention."""

    async def fill(self, road, count):
        for _ in range(count):
            await road.append()
        await road.dispatch()
        await road.drain()

    async def test_the_oldest_go(self, handled):
        """As many of the oldest as are too many go, and no more."""
        await self.fill(handled, 20)
        before = await left(handled)
        assert await Housekeeper(handled.client, 3600, 20).trim() == 5
        assert await left(handled) == before[5:]

    async def test_below_that_none_goes(self, handled):
        """Up to three quarters of the limit, all stay for their retention."""
        await self.fill(handled, 15)
        assert await Housekeeper(handled.client, 3600, 20).trim() == 0

    async def test_without_a_limit_none_goes(self, handled):
        """Without a limit, all stay for their retention."""
        await self.fill(handled, 15)
        assert await Housekeeper(handled.client, 3600, 0).trim() == 0

    async def test_unfinished_ones_never_go(self, handled):
        """What is unfinished stays with all that came later, however full the inbox is."""
        await self.fill(handled, 2)
        await handled.append("held", later=True)
        await self.fill(handled, 17)
        assert await Housekeeper(handled.client, 3600, 20).trim() == 2
        assert len(await left(handled)) == 18

    async def test_it_is_told(self, handled):
        """A log line says that events went early, and how many."""
        await self.fill(handled, 20)
        with capture_logs() as told:
            await Housekeeper(handled.client, 3600, 20).trim()
        [line] = [one for one in told if "nearly full" in one["event"]]
        assert (line["log_level"], line["events"], line["left"]) == ("warning", 5, 15)

    async def test_a_nearly_full_redis(self, handled):
        """Beyond three quarters of Redis's maxmemory, finished events go; unfinished ones stay."""
        for _ in range(200):
            await handled.append("held", text="x" * 10_000)
        await handled.dispatch()
        await handled.drain()
        await handled.append("held", later=True)
        used = (await handled.client.info("memory"))["used_memory"]
        await handled.client.config_set("maxmemory", round(used / 0.8))
        try:
            dropped = await Housekeeper(handled.client, 3600).make_room()
        finally:
            await handled.client.config_set("maxmemory", 0)
        assert 0 < dropped < 200
        assert await handled.inbox.length() == 201 - dropped

    async def test_requests_are_taken_again(self, handled):
        """A full inbox takes events again once finished ones have gone."""
        storage = Storage(handled.client, Path("unused"), limit=4, spool_limit=0)
        await self.fill(handled, 4)
        with pytest.raises(NotStored):
            await storage.append(ENVELOPE)
        await Housekeeper(handled.client, 3600, 4).trim()
        assert await storage.append(ENVELOPE) == "inbox"
