"""What the tests of replays share."""

from __future__ import annotations

HOUR = 3_600_000
EVER = "1970-01-01T00:00:00Z"


async def work(road):
    await road.dispatch()
    while await road.lanes():
        await road.drain()


async def receive(road, *numbers, **options):
    """Have events received and handled; return their ids."""
    ids = [await road.append(n=n, **options) for n in numbers]
    await work(road)
    return ids


async def now(road):
    seconds, _ = await road.client.time()
    return seconds * 1000


def seen(road):
    return sorted((handler, n) for handler, n, _, _ in road.seen)
