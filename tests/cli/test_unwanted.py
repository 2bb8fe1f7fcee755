"""`receiver events show` of an event that no handler has: it says why, and what would have wanted it."""

from __future__ import annotations

import asyncio
import json

import orjson
import pytest

from receiver.cipher import Keyring
from receiver.cli import events
from receiver.cli.unwanted import Unwanted
from receiver.intake import new_id
from receiver.pipeline import histories, keys, routes
from receiver.pipeline.connection import connect
from receiver.pipeline.feeder import Feeder
from receiver.pipeline.replay import Chosen
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


async def test_dispatched_meanwhile(road, monkeypatch):
    """What is dispatched while it is looked up isn't called unwanted: it may have deliveries by now."""
    event_id = await road.append(type="FILE")
    load = histories.load

    async def loaded(client, entries):
        found = await load(client, entries)
        await road.dispatch()
        return found

    monkeypatch.setattr(histories, "load", loaded)
    *_, why = await events._find(road.client, event_id)
    assert why == Unwanted(dispatched=False)
    assert (await road.delivery(event_id)).status == "waiting"


async def test_a_newer_version(road, show):
    """Routes that this version doesn't understand are left out, of those of then, and of those of now."""
    event_id = await road.append(type="MESG")
    await road.dispatch()
    newer = {"handler": "test.newer", "filter": {"categories": ["*"], "moon": ["full"]}}
    [(entry, kept)] = await road.client.xrange(keys.ROUTINGS)
    kept = orjson.dumps([newer, *orjson.loads(kept[b"routes"])])
    await road.client.delete(keys.ROUTINGS)
    await road.client.xadd(keys.ROUTINGS, {"routes": kept}, entry)
    await road.client.hset(keys.ROUTES, "test.newer", orjson.dumps(newer))
    why = why_of(await show(event_id))
    assert "test.files" in why
    assert "test.newer" not in why


async def replay(road, event_id, *handlers):
    """Replay an event for these handlers; return its new id."""
    _, envelope = await road.inbox.find(event_id)
    again, mark = Chosen(envelope, handlers, only=True).renewed(new_id(1))
    await Feeder(road.client, limit=100).append([again], [mark])
    await road.dispatch()
    return again.id


async def test_a_replay_for_one(road, show):
    """Of a replay that was for one handler, no other is named: none of them was asked."""
    event_id = await replay(road, await road.append(type="MESG"), "test.files")
    why = why_of(await show(event_id))
    assert why.startswith("No handler wanted it.\nIt was replayed for test.files only.\n")
    assert "test.adas" not in why
    assert "It would be wanted" not in why
    told = json.loads(await show(event_id, "--json"))["unwanted"]
    assert [one["name"] for one in told["handlers"]] == told["replayed_for"] == ["test.files"]


async def test_a_replay_for_one_that_is_gone(road, show):
    """Where there was no such handler, it says so, though others want such events; else how to go on."""
    road.handlers.on("*", name="all")(lambda event, context: None)
    event_id = await replay(road, await road.append(), "test.gone")
    why = why_of(await show(event_id))
    assert why == "No handler wanted it.\nIt was replayed for test.gone, which had no route.\n"
    road.handlers.on("*", name="gone")(lambda event, context: None)
    routes.publish(road.blocking, road.handlers)
    again = f"wanted by test.gone. To give it to them: receiver replay {event_id} --handler test.gone\n"
    assert again in await show(event_id)


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
