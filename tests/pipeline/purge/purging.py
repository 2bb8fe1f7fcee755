"""What the tests of removals share."""

from __future__ import annotations

ANN, BOB = {"sender": {"user_id": "ann"}}, {"sender": {"user_id": "bob"}}
LIMIT = 2**24


async def run(road):
    await road.dispatch()
    await road.drain()


async def remove(purge):
    """Remove what there is; return what was found before, what went, what is left."""
    found = await purge.look()
    done = await purge.remove(found)
    return found.tally.found, done.removed, done.after.left


async def everything(client, *but):
    """Return all that is in Redis, byte for byte, but for some keys and what only counts."""
    passing = {b"receiver:dispatcher", b"receiver:purged", *but}
    names = [
        name for name in await client.keys("receiver:*") if name not in passing and b":writer:" not in name
    ]
    return {name: await client.dump(name) for name in names}


async def bodies(road):
    return [one.body for _, one in await road.inbox.latest(100)]
