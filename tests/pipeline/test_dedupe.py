"""Repeats: an event whose identity is known runs no handler."""

from __future__ import annotations

from receiver.pipeline import keys, routes
from tests.pipeline.test_dispatcher import add_handler, queued


async def test_a_repeat_runs_no_handler_and_names_the_original(road):
    """A second event with the same identity is marked as a repeat of the first, and goes nowhere."""
    name = add_handler(road)
    await road.append(identity="m|1")
    repeat = await road.append(identity="m|1")
    await road.dispatch()
    entries = [entry for entry, _ in reversed(await road.inbox.latest(2))]
    assert await queued(road, routes.lane_of(name, "c1")) == entries[:1]
    history = await road.history(repeat)
    assert history.repeats == entries[0]
    assert history.deliveries == ()
    assert await road.client.hget(keys.STATS, "repeated") == b"1"


async def test_an_event_is_no_repeat_of_itself(road):
    """An event whose identity is known already, from a dispatch that broke off, reaches its lane."""
    name = add_handler(road)
    await road.append(identity="m|1")
    await road.dispatch()
    [(entry, _)] = await road.inbox.latest(1)
    await road.client.delete(keys.CURSOR, keys.lane(routes.lane_of(name, "c1"), "queue"))
    road.dispatcher._cursor = "0-0"
    await road.dispatch()
    assert await queued(road, routes.lane_of(name, "c1")) == [entry]


async def test_events_without_identity_are_never_repeats(road):
    """Equal bodies that carry no identity are different events."""
    name = add_handler(road)
    for _ in range(3):
        await road.append()
    await road.dispatch()
    assert len(await queued(road, routes.lane_of(name, "c1"))) == 3


async def test_an_identity_is_forgotten_after_the_window(road):
    """The memory of an identity expires when the dedupe window after its own is over."""
    add_handler(road)
    await road.append(identity="m|1")
    await road.dispatch()
    [key] = await road.client.keys(keys.PREFIX + "seen:*")
    assert 60 < await road.client.ttl(key) <= 120


async def test_an_identity_of_the_window_before_is_known(road):
    """A repeat is known in the whole window after its original's."""
    add_handler(road)
    await road.append(identity="m|1")
    await road.dispatch()
    [key] = await road.client.keys(keys.PREFIX + "seen:*")
    _, _, number, shard = key.decode().split(":")
    await road.client.rename(key, f"{keys.PREFIX}seen:{int(number) - 1}:{shard}")
    repeat = await road.append(identity="m|1")
    await road.dispatch()
    assert (await road.history(repeat)).repeats is not None
