"""`receiver events show` of an event that no handler has: it says why, and what would have wanted it."""

from __future__ import annotations

import asyncio
import json

import pytest

from receiver.cipher import Keyring
from receiver.pipeline import routes
from receiver.pipeline.connection import connect
from tests.pipeline.conftest import CATEGORY, Road


@pytest.fixture
def environment(clean, monkeypatch, redis_url):
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
async def road(environment, client, blocking):
    """A road with a handler of files, one of what a certain person writes, and a bot."""
    road = Road(client, blocking)
    road.handlers.on(CATEGORY, name="files", type="FILE")(lambda event, context: None)
    road.handlers.on("group_channel:*", name="adas", sender="ada")(lambda event, context: None)
    road.handlers.bot("helper")
    return road


@pytest.fixture
def show(run):
    async def shown(*arguments):
        code, out, _ = await asyncio.to_thread(run, "events", "show", *arguments)
        assert code == 0
        return out

    return shown


def why_of(shown):
    """Return what stands between the event and its body."""
    return shown.partition("\n\n")[2].partition("\nBody\n")[0]


async def test_what_each_handler_wants(road, show):
    """Every handler is named with what it asks for, and what the event has instead."""
    event_id = await road.append(type="MESG", sender={"user_id": "bob"})
    await road.dispatch()
    why = why_of(await show(event_id))
    assert why.startswith("No handler wanted it.\n")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in why.splitlines() if "test." in line}
    assert rows == {
        "test.adas": "group_channel:*; from ada sender bob",
        "test.files": f"{CATEGORY}; type FILE type MESG",
        "test.helper": "bot_message_notification; for helper another category",
    }
    assert f'It would be wanted by one with @handlers.on("{CATEGORY}")' in why
    told = json.loads(await show(event_id, "--json"))["unwanted"]
    assert [(one["name"], one["instead"]) for one in told["handlers"]] == [
        ("test.adas", "sender bob"),
        ("test.files", "type MESG"),
        ("test.helper", "another category"),
    ]


@pytest.mark.parametrize(
    ("sent", "asking"),
    [
        ({"bot": {"bot_userid": "other"}}, 'handlers.bot("other")'),
        ({"bot": "broken"}, '@handlers.on("bot_message_notification")'),
        ({"bot": {"bot_userid": "[red]a\x1b[2J"}}, r'handlers.bot("[red]a\x1b[2J")'),
    ],
)
async def test_bots(road, show, sent, asking):
    """Of a callback, it names the bot that nobody answers for, whatever its name does to a terminal."""
    event_id = await road.append(category="bot_message_notification", **sent)
    await road.dispatch()
    assert f"It would be wanted by one with {asking}\n" in await show(event_id)


async def test_wanted_by_now(road, show):
    """Where a handler has come since that wants it, it says how to give it to that."""
    event_id = await road.append(category="user:block")
    await road.dispatch()
    road.handlers.on("user:block", name="late")(lambda event, context: None)
    routes.publish(road.blocking, road.handlers)
    why = why_of(await show(event_id))
    assert f"wanted by test.late. To give it to them: receiver replay {event_id}\n" in why
    assert "test.late  " not in why
    assert json.loads(await show(event_id, "--json"))["unwanted"]["wanted_now_by"] == ["test.late"]


async def test_not_yet_dispatched(road, show):
    """What the dispatcher hasn't read waits: nobody has not wanted it."""
    event_id = await road.append()
    assert "No handler has it yet" in await show(event_id)
    assert json.loads(await show(event_id, "--json"))["unwanted"]["dispatched"] is False


async def test_in_the_list(road, run):
    """The list says of an event that it is unwanted, too, but not before the dispatcher has read it."""
    ids = [await road.append(type=kind) for kind in ("MESG", "FILE")]
    await road.dispatch()
    ids.append(await road.append(type="MESG"))
    out = (await asyncio.to_thread(run, "events"))[1]
    assert [event_id in line for event_id, line in zip(ids, out.splitlines(), strict=True)] == [True] * 3
    assert ["no handler wants it" in line for line in out.splitlines()] == [True, False, False]


async def test_wanted_or_repeated(road, show):
    """Of an event that has a delivery, or repeats another one, nothing of it is said."""
    wanted = await road.append(type="FILE", identity="same")
    repeated = await road.append(type="FILE", identity="same")
    await road.dispatch()
    for event_id in (wanted, repeated):
        assert "wanted" not in await show(event_id)
        assert "unwanted" not in json.loads(await show(event_id, "--json"))


async def test_a_body_that_cannot_be_read(road, show, redis_url, blocking):
    """Where the key isn't here, it doesn't claim to know what stands in the body."""
    with_key = Road(connect(redis_url, keyring=Keyring([bytes(32)])), blocking)
    with_key.handlers = road.handlers
    event_id = await with_key.append(type="MESG", sender={"user_id": "bob"})
    await with_key.dispatch()
    await with_key.client.aclose()
    why = why_of(await show(event_id))
    assert "its body, which can't be read here, may differ" in why
    assert "MESG" not in why
