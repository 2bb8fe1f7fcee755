"""Housekeeping: finished events go after the retention time, unfinished ones never."""

from __future__ import annotations

import pytest

from receiver.errors import SendbirdRefused
from receiver.pipeline import keys
from receiver.pipeline.housekeeping import Housekeeper


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
    assert len(await handled.client.keys(keys.event("*"))) == 1


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


@pytest.mark.parametrize("where", ["queue", "taken", "parked"])
async def test_nothing_goes_past_an_unfinished_event(handled, where):
    """An event that a lane holds, wherever in it, keeps itself and all that came later."""
    await handled.append("done before")
    await handled.dispatch()
    await handled.drain()
    await handled.append("held", later=True)
    for _ in range(3):
        await handled.append("done after")
    await handled.dispatch()
    if where == "parked":
        await handled.drain()
    if where == "taken":
        for lane in await handled.lanes():
            drain = handled.drain_of(lane)
            await drain._lane.begin()
            await drain._lane.turn([], want=10, share=10, enough=[])
    assert await Housekeeper(handled.client, -1).trim() == 1
    assert len(await left(handled)) == 4


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
