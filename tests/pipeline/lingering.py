"""A drain that lingers, for the tests of its pace and of the bell."""

from __future__ import annotations

import asyncio

from receiver.pipeline import keys, routes

NAME = "test.h"
LANE = routes.lane_of(NAME, "c1")


def watch(road):
    """Register a handler; return the list of what it has seen."""
    found = []

    @road.handlers.on("*", name="h")
    async def handler(event, context):
        found.append(event.id)

    return found


async def until(look, wanted):
    async with asyncio.timeout(10):
        while not wanted(await look()):
            await asyncio.sleep(0.005)


async def linger(road):
    """Begin a drain of an empty lane, that lingers."""
    road.alone = False
    drain = road.drain_of(LANE)
    assert await drain.begin()
    draining = asyncio.create_task(drain.run())
    await until(lambda: road.client.hget(keys.LANES, LANE), lambda state: state == b"lingering")
    return drain, draining
