"""What still waits, or runs, when its data is removed."""

from __future__ import annotations

import asyncio

import pytest

from receiver.pipeline import keys
from tests.pipeline.purge.purging import ANN, BOB, bodies, remove, run


@pytest.mark.parametrize("where", ["undispatched", "queue", "parked", "taken"])
async def test_what_waits_is_never_delivered(handled, purge, client, where):
    """An event that waits is passed over and counted as purged; those behind it in its conversation go on."""
    await handled.append("c1", n=1, later=where == "parked", **ANN)
    await handled.append("c1", n=2, **BOB)
    if where != "undispatched":
        await handled.dispatch()
    if where == "parked":
        await handled.drain()
    if where == "taken":
        [lane] = await handled.lanes()
        drain = handled.drain_of(lane)
        await drain._lane.begin()
        await drain._lane.turn([], want=10, share=10, enough=[])
        await client.delete(keys.lane(lane, "owner"))  # it dies
    found = await purge().look()
    assert len(found.waiting) == 1
    await purge().remove(found)
    handled.given.clear()
    await handled.dispatch()
    for lane in await handled.lanes():
        held = await client.zrange(keys.lane(lane, "held"), 0, -1)
        if held:
            await client.zadd(keys.lane(lane, "held"), dict.fromkeys(held, 1))
    await handled.drain()
    await handled.drain()
    assert len(handled.given) == 1
    assert await handled.lanes() == []
    assert await client.exists(keys.DEAD) == 0
    if where != "undispatched":
        assert await client.hget(keys.STATS, "purged test.h") == b"1"
    assert len(await client.keys("receiver:event:*")) <= (where == "taken")  # of bob's: it was cut off


async def test_what_the_dispatcher_has_read_goes_nowhere(handled, purge, client, monkeypatch):
    """An event that is purged after the dispatcher has read it gets into no lane, and leaves no digest."""
    read = client.xread

    async def read_and_remove(*arguments, **options):
        found = await read(*arguments, **options)
        monkeypatch.undo()
        await remove(purge())
        return found

    await handled.append(identity="one", **ANN)
    kept = await handled.append(identity="two", **BOB)
    assert await handled.lead()
    monkeypatch.setattr(client, "xread", read_and_remove)
    assert await handled.dispatcher.dispatch_once() == 2
    await handled.drain()
    assert handled.given == [kept]
    left = [await client.hkeys(name) for name in await client.keys("receiver:seen:*")]
    assert [name for some in left for name in some] == [b"two"]
    assert await client.hget(keys.STATS, "purged test.h") is None  # it was in no lane


@pytest.mark.parametrize("end", ["done", "refused", "later"])
async def test_an_attempt_that_runs_meanwhile(handled, purge, client, end):
    """However an attempt ends whose event is purged meanwhile, it leaves nothing; the next event goes on."""
    what = {"done": {}, "refused": {"refuse": "never"}, "later": {"later": True}}[end]
    await handled.append("c1", wait=True, once="ann", remember="ann", **what, **ANN)
    await handled.append("c1", **BOB)
    await handled.dispatch()
    draining = asyncio.create_task(handled.drain())
    while not handled.given:
        await asyncio.sleep(0)
    _, removed, left = await remove(purge())
    assert (removed["inbox"], left) == (1, {})
    handled.gate.set()
    await draining
    for lane in await handled.lanes():
        await handled.drain_lane(lane)
    assert len(handled.given) == 2
    assert await handled.lanes() == []
    names = await client.keys("receiver:*")
    assert not [
        name
        for name in names
        if name.startswith((b"receiver:event:", b"receiver:state:", b"receiver:letter:"))
    ]
    assert not await client.exists(keys.DEAD)
    assert (await purge().look()).left == {}


async def test_waiting_events_can_be_kept(handled, purge):
    """With `keep_waiting` what waits is delivered, and goes the next time."""
    await handled.append(**ANN)
    await run(handled)
    await handled.append(**ANN)
    await handled.dispatch()
    keeping = purge(keep_waiting=True)
    found = await keeping.look()
    done = await keeping.remove(found)
    assert (found.tally.found["inbox"], done.removed["inbox"], done.after.tally.kept["inbox"]) == (2, 1, 1)
    await handled.drain()
    assert len(handled.given) == 2
    assert (await remove(keeping))[1]["inbox"] == 1
    assert await bodies(handled) == []


async def test_an_effect_of_what_still_runs_stays_and_is_told(handled, purge):
    """What happened once is not forgotten before the delivery has ended: it would happen again."""
    await handled.append(once="mail ann", later=True, **BOB)
    await run(handled)
    _, removed, left = await remove(purge())
    assert (removed["histories of other events"], left) == (0, {"histories of other events": 1})
