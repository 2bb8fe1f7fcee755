"""Lanes: what the scripts promise, one by one."""

from __future__ import annotations

import pytest

from receiver.errors import Fenced
from receiver.pipeline import keys, lanes, routes
from receiver.pipeline.lanes import Lane

LANE = routes.lane_of("test.h", "c1")


@pytest.fixture
async def lane(road):
    """A lane with ten events of one conversation, in the hands of an owner."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    for n in range(10):
        await road.append(n=n)
    await road.dispatch()
    owned = Lane(road.client, LANE)
    assert await owned.begin(0) == 0
    return owned


async def take(lane, *, want=100, share=100, enough=(), operations=(), now=1):
    batch = await lane.turn(list(operations), want=want, share=share, enough=list(enough), now=now)
    return [one.entry for one in batch.events], batch.overflowing


async def test_a_turn_takes_no_more_than_it_wants(lane):
    """`want` bounds a turn; the next one goes on where it ended."""
    first, _ = await take(lane, want=3)
    rest, _ = await take(lane)
    assert (len(first), len(rest)) == (3, 7)
    assert first + rest == sorted(first + rest, key=lambda entry: tuple(map(int, entry.split("-"))))


async def test_a_share_bounds_one_conversation_until_it_is_resumed(lane):
    """Beyond its share a conversation is parked, and gets more only when it has been resumed."""
    first, overflowing = await take(lane, share=4)
    assert (len(first), overflowing) == (4, ["c1"])
    assert await take(lane, share=4) == ([], [])
    second, overflowing = await take(lane, share=4, operations=[lanes.resume("c1")])
    assert (len(second), overflowing) == (4, ["c1"])
    third, overflowing = await take(lane, share=4, operations=[lanes.resume("c1")])
    assert (len(third), overflowing) == (2, [])
    assert len(set(first + second + third)) == 10


async def test_a_conversation_that_has_enough_gets_nothing(lane):
    """Conversations named in `enough` are parked at once."""
    assert await take(lane, enough=["c1"]) == ([], ["c1"])


@pytest.mark.parametrize(("want", "operations"), [(1, []), (0, []), (0, [lanes.resume("c1")])])
async def test_each_script_checks_the_token(road, lane, want, operations):
    """Whatever a turn does, taking or settling, it is refused once another drain owns the lane."""
    await road.client.set(keys.lane(LANE, "owner"), "another")
    with pytest.raises(Fenced):
        await lane.turn(operations, want=want, share=1, enough=[], now=1)
    with pytest.raises(Fenced):
        await lane.release(1, give_way=True)
    assert await road.client.llen(keys.lane(LANE, "queue")) == 10


async def test_suspects_are_given_one_at_a_time(road, lane):
    """After a crash the next event is given only when the one before it is settled."""
    await take(lane, want=3)
    await road.client.delete(keys.lane(LANE, "owner"))
    heir = Lane(road.client, LANE)
    assert await heir.begin(1) == 3
    batch = await heir.turn([], want=100, share=100, enough=[], now=1)
    [first] = batch.events
    assert await take(heir) == ([], [])
    again, _ = await take(heir, operations=[lanes.end(first, "skipped")])
    assert len(again) == 1


async def test_a_suspect_that_is_settled_is_cleared(road, lane):
    """When the last suspect is settled, events are taken many at a time again."""
    await take(lane, want=1)
    await road.client.delete(keys.lane(LANE, "owner"))
    heir = Lane(road.client, LANE)
    assert await heir.begin(1) == 1
    batch = await heir.turn([], want=100, share=100, enough=[], now=1)
    rest, _ = await take(heir, operations=[lanes.end(batch.events[0], "skipped")])
    assert len(rest) == 9


async def test_a_lane_with_events_is_not_let_go(lane):
    """`release` leaves a lane to its owner while it has something to do, unless it gives way."""
    assert (await lane.release(1, give_way=False)).state == "more"
    taken, _ = await take(lane)
    assert taken
    assert (await lane.release(1, give_way=True)).state == "more"
    with pytest.raises(Fenced):
        await lane.release(1, give_way=True)


async def test_every_turn_renews_the_lease(road, lane):
    """Taking and settling both push the end of the lease away."""
    owner = keys.lane(LANE, "owner")
    for want in (1, 0):
        await road.client.pexpire(owner, 5_000)
        await lane.turn([], want=want, share=1, enough=[], now=1)
        assert await road.client.pttl(owner) > 20_000


async def test_what_is_given_back_goes_before_what_was_parked(road, lane):
    """Events that are given back unbegun are the first to be taken again, parked ones behind them."""
    given, _ = await take(lane, share=4)
    hand_back = [lanes.back(entry, "c1") for entry in reversed(given)]
    await lane.turn(hand_back, want=0, share=4, enough=[], now=1)
    assert (await lane.release(1, give_way=True)).state == "more"
    heir = Lane(road.client, LANE)
    assert await heir.begin(1) == 0
    again, _ = await take(heir)
    assert again[:4] == given
    assert len(set(again)) == 10
