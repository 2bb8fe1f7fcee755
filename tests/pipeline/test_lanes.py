"""Lanes: what the scripts promise, one by one."""

from __future__ import annotations

import asyncio
from importlib.resources import files

import pytest

from receiver.errors import Fenced
from receiver.pipeline import forgetting, keys, lanes, routes
from receiver.pipeline.deliveries import Attempt
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
    assert await owned.begin() == 0
    return owned


async def take(lane, *, want=100, share=100, enough=(), operations=()):
    batch = await lane.turn(list(operations), want=want, share=share, enough=list(enough))
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
        await lane.turn(operations, want=want, share=1, enough=[])
    with pytest.raises(Fenced):
        await lane.release(give_way=True)
    assert await road.client.llen(keys.lane(LANE, "queue")) == 10


async def test_suspects_are_given_one_at_a_time(road, lane):
    """After a crash the next event is given only when the one before it is settled."""
    await take(lane, want=3)
    await road.client.delete(keys.lane(LANE, "owner"))
    heir = Lane(road.client, LANE)
    assert await heir.begin() == 3
    batch = await heir.turn([], want=100, share=100, enough=[])
    [first] = batch.events
    assert await take(heir) == ([], [])
    again, _ = await take(heir, operations=[lanes.end(first, "skipped")])
    assert len(again) == 1


async def test_a_suspect_that_is_settled_is_cleared(road, lane):
    """When the last suspect is settled, events are taken many at a time again."""
    await take(lane, want=2)
    await road.client.delete(keys.lane(LANE, "owner"))
    heir = Lane(road.client, LANE)
    assert await heir.begin() == 2
    for _ in range(2):
        batch = await heir.turn([], want=100, share=100, enough=[])
        [one] = batch.events
        rest, _ = await take(heir, want=0, operations=[lanes.end(one, "skipped")])
    rest, _ = await take(heir)
    assert len(rest) == 8


async def test_who_takes_suspects_only_takes_nothing_that_is_due_before_them(road, lane):
    """An event whose wait is over comes first, but is none of a drain that is there for the suspects."""
    await road.client.delete(keys.lane(LANE, "owner"))
    dead = Lane(road.client, LANE, ordered=False)
    assert await dead.begin() == 0
    failed, other = (await dead.turn([], want=2, share=100, enough=[])).events
    attempt = Attempt(number=1, ended=1, outcome="failed")
    await take(dead, want=0, operations=[lanes.retry(failed, attempt, failed.entry, 0, [])])
    await road.client.delete(keys.lane(LANE, "owner"))
    heir = Lane(road.client, LANE, ordered=False, suspects="only")
    assert await heir.begin() == 1
    assert await take(heir) == ([other.entry], [])


async def test_an_event_that_died_alone_waits_apart(road, lane):
    """The one that is blamed is held for a while, and the others of its lane go on at once."""
    [alone], _ = await take(lane, want=1)
    await road.append("c2")
    await road.client.set(keys.lane(LANE, "owner"), "dead 1 killed by SIGKILL")
    heir = Lane(road.client, LANE)
    assert await heir.begin() == 1
    held = await road.client.zrange(keys.lane(LANE, "held"), 0, -1)
    assert held == [b"c1"]
    assert await road.client.lindex(keys.lane(LANE, "parked:c1"), 0) == alone.encode()
    assert await take(heir) == ([], [])


async def test_an_abandoned_lane_blames_nobody(road, lane):
    """What an owner gives back when it has lost Redis is no suspect, and has not failed."""
    given, _ = await take(lane, want=1)
    await lane.abandon()
    heir = Lane(road.client, LANE)
    assert await heir.begin() == 0
    batch = await heir.turn([], want=100, share=100, enough=[])
    assert [one.entry for one in batch.events][:1] == given
    assert len(batch.events) == 10
    assert (batch.events[0].attempts, batch.events[0].failures) == (1, 0)


async def test_only_the_owner_abandons(road, lane):
    """A drain that lost its lane can't take it away from its heir."""
    await take(lane, want=3)
    await road.client.set(keys.lane(LANE, "owner"), "heir")
    await lane.abandon()
    assert await road.client.get(keys.lane(LANE, "owner")) == b"heir"
    assert await road.client.scard(keys.lane(LANE, "taken")) == 3


async def test_what_another_version_has_taught_is_not_mixed_with_ours(road, lane):
    """A Redis that knows some scripts of a turn, from another version, takes nothing without giving it."""
    await road.client.script_flush()
    await road.client.script_load(files("receiver.pipeline").joinpath("take.lua").read_text())
    taken, _ = await take(lane, want=3, operations=[lanes.resume("c1")])
    assert await road.client.scard(keys.lane(LANE, "taken")) == len(taken) == 3


async def test_what_was_recorded_is_not_recorded_again(road, lane):
    """A turn whose answer was lost can be sent again: nothing is ended, parked or given back twice."""
    batch = await lane.turn([], want=3, share=100, enough=[])
    done, failed, behind = batch.events
    attempt = Attempt(number=1, ended=1, outcome="failed")
    operations = [lanes.end(done, "skipped"), lanes.retry(failed, attempt, "c1", 60, [behind.entry])]
    for _ in range(2):
        await lane.turn(operations, want=0, share=100, enough=[])
    parked = await road.client.lrange(keys.lane(LANE, "parked:c1"), 0, -1)
    assert parked == [failed.entry.encode(), behind.entry.encode()]
    assert await road.client.hget(keys.STATS, "skipped test.h") == b"1"


async def test_what_was_remembered_is_not_remembered_again(road, lane):
    """A turn that is sent again takes back no state that a later event of the conversation has left."""
    first, second = (await lane.turn([], want=2, share=100, enough=[])).events

    def settle(taken, state):
        operations = [lanes.remember(taken, "c1", state), lanes.end(taken, "skipped")]
        return lane.turn(operations, want=0, share=100, enough=[])

    await settle(first, b"1")
    await settle(second, b"2")
    await settle(first, b"1")
    assert await road.client.get(keys.state("test.h", "c1")) == b"2"


async def test_a_lane_with_events_is_not_let_go(lane):
    """`release` leaves a lane to its owner while it has something to do, unless it gives way."""
    assert (await lane.release(give_way=False)).state == "more"
    taken, _ = await take(lane)
    assert taken
    assert (await lane.release(give_way=True)).state == "more"
    with pytest.raises(Fenced):
        await lane.release(give_way=True)


async def test_every_turn_renews_the_lease(road, lane):
    """Taking and settling both push the end of the lease away."""
    owner = keys.lane(LANE, "owner")
    for want in (1, 0):
        await road.client.pexpire(owner, 5_000)
        await lane.turn([], want=want, share=1, enough=[])
        assert await road.client.pttl(owner) > 20_000


async def test_what_is_given_back_goes_before_what_was_parked(road, lane):
    """Events that are given back unbegun are the first to be taken again, parked ones behind them."""
    given, _ = await take(lane, share=4)
    hand_back = lanes.back([(entry, "c1") for entry in given])
    await lane.turn(hand_back, want=0, share=4, enough=[])
    assert (await lane.release(give_way=True)).state == "more"
    heir = Lane(road.client, LANE)
    assert await heir.begin() == 0
    again, _ = await take(heir)
    assert again[:4] == given
    assert len(set(again)) == 10


async def test_a_long_lane_is_forgotten_to_its_end(road):
    """However many events wait, each one's delivery is skipped when its handler is forgotten."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    await asyncio.gather(*(road.append(n=n) for n in range(1001)))
    await road.dispatch()
    assert (await forgetting.forget(road.client, "test.h")).waiting == 1001
    entries = [entry for entry, _ in await road.inbox.latest(2000)]
    states = [await road.client.hget(keys.event(entry), "test.h") for entry in entries]
    assert states == [b"skipped 0 0"] * 1001
