"""What the tests of drains share: one handler of all events, lanes, and time that passes when told."""

from __future__ import annotations

import asyncio

from receiver.pipeline import keys, routes
from receiver.pipeline.drain import WINDOW
from receiver.pipeline.lanes import Lane
from receiver.pipeline.pace import SHARE

HANDLER = "test.h"


def on(road, handler, **options):
    road.handlers.on("*", name="h", **options)(handler)


async def run_until_empty(road):
    """Dispatch, and drain until no lane holds anything. Waits pass in no time."""
    await road.dispatch()
    while lanes := await road.lanes():
        for lane in lanes:
            await let_time_pass(road, lane)
        await road.drain()


async def let_time_pass(road, lane):
    """Make the waits of a lane's held conversations end now."""
    held = keys.lane(lane, "held")
    for conversation, due in await road.client.zrange(held, 0, -1, withscores=True):
        if due != float("inf"):
            await road.client.zadd(held, {conversation: 0})


async def crash(road, lane, *, want=WINDOW):
    """Take events as a drain does, and die without a word."""
    dead = Lane(road.client, lane)
    assert await dead.begin() is not None
    batch = await dead.turn([], want=want, share=SHARE, enough=[])
    await road.client.delete(keys.lane(lane, "owner"))  # its lease runs out
    return batch


def lane_of(conversation):
    return routes.lane_of(HANDLER, conversation)


def same_lane(count):
    """Return conversations that share a lane."""
    names = [f"k{n}" for n in range(500)]
    first = lane_of(names[0])
    return [name for name in names if lane_of(name) == first][:count]


async def wait_until(condition):
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.005)
