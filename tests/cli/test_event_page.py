"""Events as they are shown: nothing that a stranger or an error says steers the terminal."""

from __future__ import annotations

import asyncio

import pytest

from tests.pipeline.conftest import Road

STEERS = "bob\x1b]0;title\x07\x1b[2J\u202e"
SEEN = r"bob\x1b]0;title\x07\x1b[2J\u202e"


@pytest.fixture
async def failed(clean, monkeypatch, redis_url, client, blocking):
    """Return the id of an event whose handler has failed, with an error that quotes what it was sent."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    road = Road(client, blocking)

    @road.handlers.on("*", name="quotes", retries=0)
    async def quotes(event, context):
        raise ValueError(event.conversation)

    event_id = await road.append(STEERS, identity=STEERS)
    await road.dispatch()
    await road.drain()
    return event_id


@pytest.mark.parametrize(
    ("arguments", "times"),
    [
        (["events"], 1),
        (["events", "show", "ID"], 4),  # the conversation, the identity, the error, and its traceback
        (["replay", "ID", "--dry-run"], 1),
        (["dead-letters", "list"], 1),
        (["handlers", "show", "test.quotes"], 1),
    ],
)
async def test_nothing_steers_the_terminal(failed, run, arguments, times):
    """Wherever it is shown, it is shown with its escape sequences made visible."""
    found = [failed if one == "ID" else one for one in arguments]
    code, out, _ = await asyncio.to_thread(run, *found)
    assert code == 0
    assert out.count(SEEN) == times
    assert not [one for one in out if one not in "\n\t" and not one.isprintable()]


async def test_not_dispatched_yet(clean, monkeypatch, redis_url, client, blocking, run):
    """An event that no dispatcher has seen says so in the list."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    await Road(client, blocking).append("c1")
    _, out, _ = await asyncio.to_thread(run, "events")
    assert out.endswith("c1  waits to be dispatched\n")
