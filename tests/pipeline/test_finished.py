"""The record of deliveries that ended in their first attempt, and what is put together from it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from receiver.pipeline import finished, histories, keys, routes
from receiver.pipeline.finished import Finished, pack, unpack
from receiver.pipeline.housekeeping import Housekeeper

entries = st.builds("{}-{}".format, st.integers(0, 2**42), st.integers(0, 2**31))
records = st.lists(st.builds(Finished, entries, st.integers(0, 2**42), st.integers(0, 2**40)), min_size=1)


def add(road, name, **wanted):
    """Register a handler that does nothing; return its name."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name=name, **wanted)(handler)
    return f"test.{name}"


@given(records)
def test_a_record_says_what_was_packed(record):
    """Every entry, time and duration comes back, in the order given, whatever they are."""
    assert list(unpack(pack(record))) == record


def test_a_delivery_costs_a_few_bytes():
    """Deliveries of one moment share it: that is what the record is for."""
    record = [Finished(f"1795247075794-{n}", 1795247075800, 12) for n in range(100)]
    assert len(pack(record)) < 1100


async def test_what_ends_at_once_needs_no_hash(road):
    """A delivery that is done in its first attempt is on record with its times and place, and has no key."""
    name = add(road, "h")
    event = await road.append()
    await road.dispatch()
    await road.drain()
    delivery = await road.delivery(event)
    assert (delivery.handler, delivery.status) == (name, "done")
    [attempt] = delivery.attempts
    assert (attempt.number, attempt.outcome) == (1, "done")
    assert attempt.took > 0
    assert attempt.worker
    assert await road.client.keys(keys.event("*")) == []
    assert await road.client.xlen(keys.FINISHED) == 1


async def test_what_nobody_wanted_after_all_needs_none_either(road):
    """A skipped delivery has no attempt."""
    add(road, "h", where=lambda event: False)
    event = await road.append()
    await road.dispatch()
    await road.drain()
    delivery = await road.delivery(event)
    assert (delivery.status, delivery.attempts) == ("skipped", ())
    assert await road.client.keys(keys.event("*")) == []


async def test_an_event_is_shown_by_the_routes_it_was_dispatched_by(road):
    """A handler that came later is not said to wait for it, and one that has gone is not forgotten."""
    first = add(road, "first")
    old = await road.append()
    await road.dispatch()
    await road.client.hdel(keys.ROUTES, first)
    road.handlers._handlers.clear()
    second = add(road, "second")
    new = await road.append()
    await road.dispatch()
    assert [one.handler for one in (await road.history(old)).deliveries] == [first]
    assert [one.handler for one in (await road.history(new)).deliveries] == [second]


async def test_routes_are_kept_once(road):
    """Routes that haven't changed are not kept again, by whichever dispatcher."""
    add(road, "h")
    for _ in range(3):
        road.dispatcher._published = None
        await road.append()
        await road.dispatch()
    assert await road.client.xlen(keys.ROUTINGS) == 1


async def test_an_event_waits_for_who_has_not_ended(road):
    """Of two handlers one has ended; the other one waits."""
    one, two = add(road, "one"), add(road, "two")
    event = await road.append()
    await road.dispatch()
    await road.drain_lane(next(lane for lane in await road.lanes() if lane.startswith(one)))
    found = {each.handler: each.status for each in (await road.history(event)).deliveries}
    assert found == {one: "done", two: "waiting"}


async def test_the_search_goes_on_over_pages(road, monkeypatch):
    """However many records there are since an event, the one that tells of it is found."""
    monkeypatch.setattr(finished, "PAGE", 2)
    name = add(road, "h")
    events = []
    for _ in range(7):
        events.append(await road.append())
        await road.dispatch()
        await road.drain()
    entries = [entry for entry, _ in reversed(await road.inbox.latest(7))]
    assert await road.client.xlen(keys.FINISHED) == 7
    found = await finished.find(road.client, {entries[0]: [name], entries[6]: [name], "1-1": []})
    assert set(found) == {(entries[0], name), (entries[6], name)}


async def test_records_go_with_their_events(road):
    """Housekeeping drops records and routes that no event is left for, and no others."""
    add(road, "h")
    for n in range(3):
        await road.append()
        await road.dispatch()
        await road.drain()
        add(road, f"h{n}")
    assert (await road.client.xlen(keys.FINISHED), await road.client.xlen(keys.ROUTINGS)) == (6, 3)
    [(newest, _)] = await road.inbox.latest(1)
    assert await Housekeeper(road.client, -1).trim() == 2
    assert await road.client.xlen(keys.ROUTINGS) == 1
    left = [entry.decode() for entry, _ in await road.client.xrange(keys.FINISHED)]
    assert all(entry.split("-")[0] >= newest.split("-")[0] for entry in left)  # to the millisecond
    [history] = await histories.load(road.client, [newest])
    assert [one.status for one in history.deliveries] == ["done"] * 3


async def test_a_leader_that_comes_back_tells_its_routes_again(road):
    """Whoever led meanwhile may have gone by others."""
    add(road, "h")
    await road.append()
    await road.dispatch()
    await road.client.delete(keys.LEASE)
    await road.client.hdel(keys.ROUTES, "test.h")
    between = road.another_dispatcher()
    await road.client.hset(
        keys.ROUTES, "other.h", routes.Route("other.h", next(iter(road.handlers)).filter).to_json()
    )
    assert await between._hold_lease()
    await road.append()
    await between.dispatch_once()
    await road.client.delete(keys.LEASE)
    await road.client.hdel(keys.ROUTES, "other.h")
    road.dispatcher._renewed = 0.0
    assert not await road.dispatcher._resign.run(road.client, [keys.LEASE], [between.token])
    road.dispatcher._leading = False
    event = await road.append()
    await road.dispatch()
    assert [one.handler for one in (await road.history(event)).deliveries] == ["test.h"]
