"""A road whose events are replayed by the command, and a Redis that is full for a while."""

from __future__ import annotations

import asyncio

import orjson
import pytest
import typer

from receiver.errors import SendbirdRefused
from receiver.pipeline import feeder, keys, room
from receiver.pipeline.writer import Writer
from tests.cli.replay.replaying import work
from tests.pipeline.conftest import CATEGORY, Road


@pytest.fixture
def environment(clean, monkeypatch, redis_url):
    """Settings that lead to the tests' Redis, and a wide terminal."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
async def road(environment, client, blocking):
    """A road with the handlers `one`, which refuses what is `bad`, and `two`, which wants messages only."""
    road = Road(client, blocking)
    road.seen = []
    road.bad = set()

    async def one(event, context):
        road.seen.append(("one", event.raw.get("n"), event.replay_of, event.id))
        if event.raw.get("n") in road.bad:
            raise SendbirdRefused("no")

    async def two(event, context):
        road.seen.append(("two", event.raw.get("n"), event.replay_of, event.id))

    road.handlers.on("*", name="one")(one)
    road.handlers.on(CATEGORY, name="two")(two)
    return road


@pytest.fixture
def impatient(monkeypatch):
    """A feeder that doesn't wait for room."""
    monkeypatch.setattr(feeder, "PATIENCE", 0.0)
    monkeypatch.setattr(feeder, "PAUSE", 0.001)


@pytest.fixture
def full_redis(blocking):
    """A Redis that is to be given no new events. (It would still take some.)"""
    used = blocking.info("memory")["used_memory"]
    blocking.config_set("maxmemory", round(used / ((room.FULL + 1) / 2)))
    yield
    blocking.config_set("maxmemory", 0)


@pytest.fixture
def full_for_a_while(full_redis, blocking, monkeypatch):
    """A full Redis that has room again when it has been looked at; the inbox's lengths at each look."""
    monkeypatch.setattr(feeder, "PAUSE", 0.001)
    honest, lengths = room.used, []

    async def make_room(client):
        used = await honest(client)
        lengths.append(blocking.xlen(keys.INBOX))
        blocking.config_set("maxmemory", 0)
        return used

    monkeypatch.setattr(room, "used", make_room)
    return lengths


@pytest.fixture
def small_inbox(blocking, impatient, monkeypatch):
    """An inbox with a limit, which all but some events leave once a group was stored.

    Calling it returns the groups that are stored: the size or, of replays, what they replay.
    """
    honest, groups = Writer.append, []

    def of(limit, *, left):
        async def finished(writer, envelopes, *arguments, **options):
            await honest(writer, envelopes, *arguments, **options)
            groups.append([orjson.loads(mark)["of"] for mark in options["marks"]] or len(envelopes))
            blocking.xtrim(keys.INBOX, maxlen=left, approximate=False)

        monkeypatch.setenv("RECEIVER_INBOX_LIMIT", str(limit))
        monkeypatch.setattr(Writer, "append", finished)
        return groups

    return of


@pytest.fixture
async def at_the_question(monkeypatch):
    """Have something happen between the count and the answer, which is yes."""
    loop = asyncio.get_running_loop()

    def happens(meanwhile):
        def confirm(*_, **__):
            return asyncio.run_coroutine_threadsafe(meanwhile(), loop).result() or True

        monkeypatch.setattr(typer, "confirm", confirm)

    return happens


@pytest.fixture
def replay(run, road):
    """Run `receiver replay ARGUMENTS` in a thread; then dispatch and drain all, seen from now on."""

    async def ran(*arguments):
        result = await asyncio.to_thread(run, "replay", *arguments)
        road.seen.clear()
        await work(road)
        return result

    return ran
