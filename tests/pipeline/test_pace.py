"""When a drain takes its turns, and how it lingers."""

from __future__ import annotations

import asyncio

import pytest

from receiver.pipeline import forgetting, keys, lanes, pace
from receiver.pipeline.lanes import Lane
from receiver.pipeline.pace import FULL, MOST, SHARE, Pace
from tests.pipeline.lingering import LANE, NAME, linger, until, watch


@pytest.fixture
def seen(road):
    return watch(road)


def count_turns(monkeypatch):
    """Note each turn that a drain takes from now on."""
    turns, real = [], Lane.turn

    async def turn(self, *arguments, **options):
        turns.append(self.name)
        return await real(self, *arguments, **options)

    monkeypatch.setattr(Lane, "turn", turn)
    return turns


def test_turns_that_bring_little_keep_a_distance():
    """The next turn is due later after a small turn, and at once after a full one, or in a hurry."""
    one = Pace(alone=False)
    assert one.early <= 0
    for events, is_early in ((FULL - 1, True), (FULL, False), (0, True)):
        one.begin_turn(idle=True)
        one.end_turn(events)
        assert (one.early > 0) == is_early
    one.hurry()
    assert one.early <= 0


def test_where_turns_take_long_they_keep_a_longer_distance(monkeypatch):
    """Up to a limit: who waits for an answer must not wait for the machine to be idle."""
    now = 100.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    one = Pace(alone=False)
    for took, due in ((0.0001, 0.01), (0.003, 0.012), (1.0, 0.02)):
        one.begin_turn(idle=True)
        began, now = now, now + took
        one.end_turn(1)
        assert one.early == pytest.approx(began + due - now)


def test_a_hurry_during_a_turn_outlasts_it():
    """A conversation that ends while the turn is on its way has more, which waits for the next one."""
    one = Pace(alone=False)
    one.begin_turn(idle=True)
    one.hurry()
    one.end_turn(1)
    assert one.early <= 0


def test_a_drain_for_which_others_wait_keeps_none():
    """Where a lane is drained alone, each moment of it is another lane's."""
    one = Pace(alone=True)
    one.begin_turn(idle=True)
    one.end_turn(1)
    assert one.early <= 0


def test_a_conversation_gets_more_where_handlers_are_quick():
    """Its share doubles from turn to turn while nothing is left, and is small again when something is."""
    one, shares = Pace(alone=True), []
    for idle in (True, True, True, True, True, False, True):
        one.begin_turn(idle=idle)
        shares.append(one.share)
    assert shares == [SHARE, 32, 64, MOST, MOST, SHARE, 32]


async def test_a_bell_that_rings_during_a_turn_is_heard(monkeypatch):
    """Whether the bell rings before the turn's answer has come, or after."""
    one = Pace(alone=False)
    one.begin_turn(idle=True)
    one.ring()
    assert await one.linger()
    one.begin_turn(idle=True)
    monkeypatch.setattr(pace, "LINGER", 0.01)
    assert not await one.linger()


async def test_a_lane_lingers_only_where_it_holds_nothing(road, seen):
    """Neither with an event in the queue, nor with one in hand, nor with one that waits apart."""
    lane = Lane(road.client, LANE)
    await lane.begin()
    assert (await lane.turn([], want=1, share=1, enough=[], linger=True)).lingers
    for _ in range(3):
        await road.append()
    await road.dispatch()
    given = await lane.turn([], want=2, share=1, enough=[], linger=True)
    assert (len(given.events), given.lingers) == (1, False)
    assert await road.client.hget(keys.LANES, LANE) == b"active"
    assert not (await lane.turn([], want=1, share=1, enough=["c1"], linger=True)).lingers
    assert not (await lane.turn([], want=1, share=1, enough=["c1"], linger=False)).lingers


async def test_a_drain_that_nobody_calls_leaves(road, seen, monkeypatch):
    """After a while it goes, and leaves nothing."""
    monkeypatch.setattr(pace, "LINGER", 0.05)
    _, draining = await linger(road)
    assert (await draining).state == "empty"
    assert await road.lanes() == []
    assert await road.client.exists(keys.lane(LANE, "owner")) == 0


async def test_a_bell_that_nobody_hears_loses_nothing(road, seen, monkeypatch):
    """A lingering drain looks into its lane before it leaves."""
    monkeypatch.setattr(pace, "LINGER", 0.3)
    _, draining = await linger(road)
    event = await road.append()
    await road.dispatch()
    await draining
    assert seen == [event]


async def test_a_stopping_drain_does_not_linger(road, seen, monkeypatch):
    """It leaves at once when its process ends."""
    drain, draining = await linger(road)
    turns = count_turns(monkeypatch)
    road.stopping = True
    drain.wake()
    assert (await draining).state == "empty"
    assert turns == []


async def test_a_call_for_nothing_is_no_reason_to_hurry(road, seen, monkeypatch):
    """Whoever rings, a drain looks once, and lingers on."""
    drain, draining = await linger(road)
    turns = count_turns(monkeypatch)
    for number in range(1, 4):
        drain.wake()
        await until(lambda: asyncio.sleep(0, len(turns)), number.__eq__)
    road.stopping = True
    drain.wake()
    await draining
    assert len(turns) == 3


async def test_a_bell_at_the_end_of_a_slice_is_the_next_drains(road, seen):
    """A drain whose slice is over while it lingers leaves when something comes, and spins no loop."""
    drain, draining = await linger(road)
    drain._slice_end = 0.0
    await road.append()
    await road.dispatch()
    drain.wake()
    assert (await draining).state == "more"
    assert seen == []


async def test_a_drain_that_dies_while_it_lingers_holds_its_lane_for_a_moment_only(road, seen):
    """Its lease is short, and is a whole one again when it goes on."""
    _, draining = await linger(road)
    draining.cancel()
    assert await road.client.pttl(keys.lane(LANE, "owner")) <= lanes.LINGERING_MS
    lane = Lane(road.client, LANE)
    await road.client.delete(keys.lane(LANE, "owner"))
    await lane.begin()
    await lane.turn([], want=1, share=1, enough=[], linger=True)
    await lane.turn([], want=1, share=1, enough=[])
    assert await road.client.pttl(keys.lane(LANE, "owner")) > lanes.LINGERING_MS


async def test_a_lingering_drain_keeps_nobody_from_forgetting_its_handler(road, seen):
    """Nothing runs in it."""
    _, draining = await linger(road)
    assert (await forgetting.forget(road.client, NAME)).running == ""
    draining.cancel()
