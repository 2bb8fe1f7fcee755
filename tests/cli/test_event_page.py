"""Events as they are shown: nothing that a stranger or an error says steers the terminal."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.pipeline.conftest import Road

STEERS = "bob\x1b]0;title\x07\x1b[2J\u202e"
SEEN = r"bob\x1b]0;title\x07\x1b[2J\u202e"


@pytest.fixture
def road(clean, monkeypatch, redis_url, client, blocking):
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    return Road(client, blocking)


@pytest.fixture
async def failed(road):
    """Return the id of an event whose handler has failed, with an error that quotes what it was sent."""

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


async def test_not_dispatched_yet(road, run):
    """An event that no dispatcher has seen says so in the list."""
    await road.append("c1")
    _, out, _ = await asyncio.to_thread(run, "events")
    assert out.endswith("c1  waits to be dispatched\n")


async def test_the_body_can_be_read(road, run):
    """In any script; what steers the terminal is escaped, as JSON has it."""
    message = {"message": f"안녕하세요, привет 👍 {STEERS}\x7f"}
    event_id = await road.append("c1", payload=message)
    _, out, _ = await asyncio.to_thread(run, "events", "show", event_id)
    body = out.partition("Body\n")[2]
    assert r"안녕하세요, привет 👍 bob\u001b]0;title\u0007\u001b[2J\u202e\u007f" in body
    assert json.loads(body)["payload"] == message
