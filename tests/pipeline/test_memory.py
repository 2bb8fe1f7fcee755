"""A conversation's state: read, changed, and saved with the outcome of the attempt."""

from __future__ import annotations

import pytest

from receiver.pipeline import keys


def count(seen):
    """Return a handler that counts in its state, and notes what it counted."""

    async def handler(event, context):
        state = await context.state()
        state["n"] = state.get("n", 0) + 1
        seen.append(state["n"])

    return handler


async def test_events_of_one_drain(road):
    """Each event of a conversation sees what the one before it left, however many a drain takes at once."""
    seen = []
    road.handlers.on("*", name="h")(count(seen))
    for n in range(40):
        await road.append(n=n)
    await road.dispatch()
    await road.drain()
    assert seen == [*range(1, 41)]
    assert await road.client.get(keys.state("test.h", "c1")) == b'{"n":40}'


async def test_conversations_and_handlers(road):
    """A state belongs to one handler and one conversation."""
    one, other = [], []
    road.handlers.on("*", name="one")(count(one))
    road.handlers.on("*", name="other")(count(other))
    for n in range(3):
        await road.append("c1", n=n)
        await road.append("c2", n=n)
    await road.dispatch()
    await road.drain()
    assert sorted(one) == sorted(other) == [1, 1, 2, 2, 3, 3]


async def test_a_failure_changes_nothing(road):
    """An attempt that fails leaves the state as it was."""
    seen = []

    async def handler(event, context):
        state = await context.state()
        seen.append(state.get("n"))
        state["n"] = event.raw["n"]
        if context.attempt == 1 and event.raw["n"] == 2:
            context.retry_after(0)

    road.handlers.on("*", name="h")(handler)
    for n in (1, 2, 3):
        await road.append(n=n)
    await road.dispatch()
    while await road.lanes():
        await road.drain()
    assert seen == [None, 1, 1, 2]


async def test_an_empty_state_is_forgotten(road):
    """A state that was emptied is gone; one that is kept expires in 30 days."""

    async def handler(event, context):
        state = await context.state()
        state.update(event.raw["set"])
        if not event.raw["set"]:
            state.clear()

    road.handlers.on("*", name="h")(handler)
    for value in ({"a": 1}, {}):
        await road.append(set=value)
        await road.dispatch()
        await road.drain()
        left = await road.client.pttl(keys.state("test.h", "c1"))
        assert (left > 29 * 86_400_000) if value else (left == -2)


@pytest.mark.parametrize(("value", "said"), [({1, 2}, "JSON"), ("x" * 70_000, "64|65536")])
async def test_what_cannot_be_kept(road, value, said):
    """A state that is no JSON, or too large, fails the attempt and says why."""

    async def handler(event, context):
        (await context.state())["value"] = value

    road.handlers.on("*", name="h", retries=0)(handler)
    event = await road.append()
    await road.dispatch()
    await road.drain()
    delivery = await road.delivery(event)
    assert delivery.status == "dead"
    assert any(word in delivery.attempts[0].error for word in said.split("|"))
