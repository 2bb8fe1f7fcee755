"""`receiver replay`: what is chosen, what handlers see of it, and backfill from a file."""

from __future__ import annotations

import asyncio
import io
import json
import os
from pathlib import Path

import orjson
import pytest
import typer
from redis.exceptions import ConnectionError as RedisConnectionError

from receiver.cli import replay as verb
from receiver.errors import SendbirdRefused
from receiver.pipeline import feeder, keys, room
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.writer import Writer
from tests.pipeline.conftest import CATEGORY, Road

HOUR = 3_600_000
EVER = "1970-01-01T00:00:00Z"


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


async def work(road):
    await road.dispatch()
    while await road.lanes():
        await road.drain()


async def receive(road, *numbers, **options):
    """Have events received and handled; return their ids."""
    ids = [await road.append(n=n, **options) for n in numbers]
    await work(road)
    return ids


async def now(road):
    seconds, _ = await road.client.time()
    return seconds * 1000


def seen(road):
    return sorted((handler, n) for handler, n, _, _ in road.seen)


async def test_an_event_by_its_id(road, replay):
    """A replayed event runs at all its handlers, as a new event that says what it replays."""
    first, _ = await receive(road, 1, 2, identity="")
    code, out, _ = await replay(first, "--yes")
    assert (code, out) == (0, "Replayed: 1 event.\n")
    assert seen(road) == [("one", 1), ("two", 1)]
    assert {of for _, _, of, _ in road.seen} == {first}
    assert {event_id for _, _, _, event_id in road.seen}.isdisjoint({first})


async def test_originals_are_no_replays(road):
    """Events that are received say that they replay nothing."""
    await receive(road, 1)
    assert {of for _, _, of, _ in road.seen} == {None}


async def test_no_duplicate(road, replay):
    """An event that has an identity is no repeat when it is replayed, again and again."""
    [event_id] = await receive(road, 1, identity="i1")
    for _ in range(2):
        await replay(event_id, "--yes")
        assert seen(road) == [("one", 1), ("two", 1)]


async def test_received_at_stays(road, replay):
    """When a replayed event was received is when its original was."""
    received = (await now(road)) - HOUR
    [event_id] = await receive(road, 1, received=received)
    await replay(event_id, "--yes")
    _, envelope = (await road.inbox.latest(1))[0]
    assert (envelope.received, envelope.replay_of) == (received, event_id)


async def test_a_replay_of_a_replay(road, replay):
    """A replay's replay names the event that was received."""
    [event_id] = await receive(road, 1)
    await replay(event_id, "--yes")
    again = road.seen[0][3]
    await replay(again, "--yes")
    assert {of for _, _, of, _ in road.seen} == {event_id}


async def test_one_handler(road, replay):
    """With --handler only this one gets it; what it doesn't want is left out."""
    [message] = await receive(road, 1)
    [other] = await receive(road, 2, category="user:block")
    _, out, _ = await replay(message, other, "--handler", "test.two", "--yes")
    assert "Left out: 1 event, wanted by no handler." in out
    assert seen(road) == [("two", 1)]
    code, _, err = await replay(message, "--handler", "test.three", "--yes")
    assert code == 1
    assert "test.one, test.two" in err


async def test_a_time_range_that_ends_before_it_begins(replay):
    """A range without any time in it is a slip, and is told as one."""
    code, _, err = await replay("--since", "5m", "--until", "10m", "--yes")
    assert code == 2
    assert "--until is before --since" in err


async def test_a_time_range(road, replay):
    """Times, as ages or in ISO form, choose by when events were received."""
    time = await now(road)
    for n in range(5):
        await receive(road, n, received=time - n * HOUR)
    _, out, _ = await replay("--since", "210m", "--until", "90m", "--handler", "test.one", "--yes")
    assert out == "Replayed: 2 events.\n"
    assert [n for _, n, _, _ in road.seen] == [2, 3]
    await replay("--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02", "--yes")
    assert seen(road) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--category", "user:*"], [2]),
        (["--category", CATEGORY], [1, 3]),
        (["--conversation", "c3"], [3]),
        (["--conversation", "c3", "--category", "user:*"], []),
    ],
)
async def test_filters(road, replay, filters, expected):
    """All filters must fit."""
    await receive(road, 1)
    await receive(road, 2, category="user:block")
    await receive(road, 3, conversation="c3")
    await replay("--since", EVER, *filters, "--handler", "test.one", "--yes")
    assert [n for _, n, _, _ in road.seen] == expected


async def test_a_range_leaves_out_replays_and_repeats(road, replay):
    """Of a range, neither replays nor repeats run again, so that each message runs once."""
    await receive(road, 1, 1, identity="i1")
    for _ in range(2):
        _, out, _ = await replay("--since", EVER, "--yes")
        assert "Left out: 1 event, repeats of other events." in out
        assert seen(road) == [("one", 1), ("two", 1)]


async def test_what_isnt_dispatched_yet(road, replay, run):
    """What will run anyway isn't replayed by a range."""
    await receive(road, 1)
    await road.append(n=2)
    await replay("--since", EVER, "--yes")
    assert seen(road) == [("one", 1), ("one", 2), ("two", 1), ("two", 2)]


async def test_pages(road, replay, monkeypatch):
    """Many events are replayed once each, in order."""
    monkeypatch.setattr("receiver.pipeline.replay.PAGE", 3)
    monkeypatch.setattr(verb, "AT_ONCE", 4)
    await receive(road, *range(11))
    _, out, _ = await replay("--since", EVER, "--handler", "test.one", "--yes")
    assert out == "Replayed: 11 events.\n"
    assert [n for _, n, _, _ in road.seen] == list(range(11))


async def test_replays_in_a_small_inbox(road, replay, small_inbox):
    """Replays that are stored in parts have their own marks, and are told once each."""
    ids = await receive(road, 1, 2, 3)
    groups = small_inbox(5, left=3)
    _, out, _ = await replay(*ids, "--yes", "--json")
    assert groups == [ids[:2], ids[2:]]
    assert [json.loads(line)["of"] for line in out.splitlines()] == ids


async def test_failed(road, replay):
    """--failed replays dead letters, each at the handler at which it died; the letters stay."""
    road.bad = {1, 3}
    ids = await receive(road, 1, 2, 3)
    road.bad = set()
    _, out, _ = await replay("--failed", "--yes")
    assert out == "Replayed: 2 events.\n"
    assert [(handler, n, of) for handler, n, of, _ in road.seen] == [("one", 1, ids[0]), ("one", 3, ids[2])]
    assert await road.client.zcard(keys.DEAD) == 2
    await replay("--failed", ids[2], "--yes")
    assert seen(road) == [("one", 3)]


@pytest.mark.parametrize("failed", [[], ["--failed"]])
async def test_what_has_left_the_inbox(road, replay, failed):
    """A trimmed event is replayed from its dead letter; one without is an error that says why."""
    road.bad = {1}
    dead, gone, _ = await receive(road, 1, 2, 3)
    await Housekeeper(road.client, -1).trim()
    road.bad = set()
    await replay(dead, *failed, "--yes")
    assert ("one", 1) in seen(road)
    code, _, err = await replay(gone, "--yes")
    assert code == 1
    assert "RECEIVER_RETENTION" in err


async def test_dry_run(road, replay):
    """--dry-run shows what would run where, and changes nothing."""
    [event_id] = await receive(road, 1)
    before = await road.inbox.length()
    _, out, _ = await replay(event_id, "--dry-run")
    assert all(
        word in out for word in (event_id, CATEGORY, "test.one, test.two", "1 event would be replayed")
    )
    _, out, _ = await replay(event_id, "--dry-run", "--json")
    assert json.loads(out) == {
        "id": None,
        "of": event_id,
        "category": CATEGORY,
        "conversation": "c1",
        "handlers": ["test.one", "test.two"],
    }
    assert await road.inbox.length() == before


async def test_json(road, replay):
    """--json tells the new event's id."""
    [event_id] = await receive(road, 1)
    _, out, _ = await replay(event_id, "--yes", "--json")
    told = json.loads(out)
    assert told["of"] == event_id
    assert {new for _, _, _, new in road.seen} == {told["id"]}


async def test_events_shows_it(road, replay, run):
    """`receiver events` says of a replay what it replays, in the list and alone."""
    [event_id] = await receive(road, 1)
    await replay(event_id, "--yes")
    new = road.seen[0][3]
    out = (await asyncio.to_thread(run, "events"))[1]
    assert f"replay of {event_id}" in next(line for line in out.splitlines() if new in line)
    assert event_id in (await asyncio.to_thread(run, "events", "show", new))[1]
    told = json.loads((await asyncio.to_thread(run, "events", "show", new, "--json"))[1])
    assert told["replay_of"] == event_id


@pytest.mark.parametrize("answer", ["y\n", "n\n"])
async def test_asks(road, replay, monkeypatch, answer):
    """Without --yes it asks, and does nothing without a yes."""
    [event_id] = await receive(road, 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    await replay(event_id)
    assert bool(road.seen) == (answer == "y\n")


@pytest.mark.parametrize("arguments", [["--since", EVER], ["--failed"]])
async def test_what_comes_after_the_count(road, replay, at_the_question, arguments):
    """What is handled, or dies, while the question stands isn't replayed."""
    road.bad = {1, 2}
    await receive(road, 1)
    at_the_question(lambda: receive(road, 2))
    _, out, _ = await replay(*arguments, "--handler", "test.one")
    assert out.endswith("Replayed: 1 event.\n")
    assert seen(road) == [("one", 1)]


@pytest.mark.parametrize("option", [[], ["--json"]])
async def test_what_goes_after_the_count(road, replay, at_the_question, option):
    """Where events have gone while the question stood, it says how many were replayed, and of how many."""
    await receive(road, 1, 2)
    at_the_question(lambda: road.client.xtrim(keys.INBOX, maxlen=1, approximate=False))
    _, out, err = await replay("--since", EVER, *option)
    assert "Replayed: 1 event, of 2 that were counted.\n" in (err if option else out)
    assert seen(road) == [("one", 2), ("two", 2)]


@pytest.mark.parametrize("arguments", [[], ["--file", "x.jsonl", "--failed"], ["--since", "yesterday"]])
async def test_wrong_usage(replay, arguments):
    """Nothing to go by, or too much, or no time, is wrong usage."""
    assert (await replay(*arguments))[0] == 2


async def test_a_batch(road, replay):
    """A batch is no event to replay: an id of one says what to do, and a range passes over it."""
    await road.append(n=1)
    _, envelope = (await road.inbox.latest(1))[0]
    fields = {
        "id": envelope.id[:-1] + ("0" if envelope.id[-1] != "0" else "1"),
        "source": "batch",
        "category": "receiver:batch",
        "conversation": "k",
        "identity": "",
        "received": envelope.received,
        "body": "{}",
    }
    await road.client.xadd(keys.INBOX, fields)
    await work(road)
    code, _, err = await replay(fields["id"], "--yes")
    assert code == 1
    assert "dead-letters retry" in err
    _, out, _ = await replay("--since", EVER, "--yes")
    assert "batches" in out
    assert seen(road) == [("one", 1), ("two", 1)]


class TestFile:
    """Backfill."""

    @pytest.fixture
    def file(self, tmp_path):
        """Write lines to a file, and return its path."""

        def write(*lines):
            path = tmp_path / "requests.jsonl"
            path.write_bytes(
                b"\n".join(one if isinstance(one, bytes) else orjson.dumps(one) for one in lines)
            )
            return str(path)

        return write

    async def test_bodies(self, road, replay, file):
        """Bodies, bare or with their source and time, are classified and stored, byte for byte."""
        bare = b'{"category": "user:block",  "n": 1}'
        told = {
            "source": "bot",
            "received": "2026-01-31T12:00:00+00:00",
            "body": {"category": "bot_message_notification", "n": 2, "bot": {"bot_userid": "b"}},
        }
        callback = {"category": "bot_message_notification", "n": 3, "bot": {"bot_userid": "b"}}
        _, out, _ = await replay(
            "--file", file(bare, b"", told, callback, {"body": {**callback, "n": 4}}), "--yes"
        )
        assert out == "Stored: 4 events.\n"
        stored = [one for _, one in reversed(await road.inbox.latest(9))]
        assert [one.source for one in stored] == ["webhook", "bot", "bot", "bot"]
        assert stored[0].body == bare
        assert stored[1].received == 1769860800000
        assert {(n, of) for _, n, of, _ in road.seen} == {(1, None), (2, None), (3, None), (4, None)}
        assert (await road.inbox.find(stored[1].id))[1] == stored[1]

    async def test_dedupe(self, road, replay, file):
        """A message that was received before is a repeat, and runs no handler."""
        body = {
            "category": CATEGORY,
            "app_id": "a",
            "channel": {"channel_url": "c1"},
            "payload": {"message_id": 7},
        }
        path = file(body, body)
        await replay("--file", path, "--yes")
        assert len(road.seen) == 2
        await replay("--file", path, "--yes")
        assert road.seen == []

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b"{", "no JSON"),
            (b"[]", "must be a JSON object"),
            (b'{"a": 1}', "category"),
            (b'{"source": "mail", "body": {"category": "user:block"}}', "webhook or bot"),
            (b'{"received": "noon", "body": {"category": "user:block"}}', "2026-01-31T12:00:00Z"),
            (b'{"received": "2026-01-31T12:00:00", "body": {"category": "user:block"}}', "with a zone"),
        ],
    )
    async def test_wrong_lines(self, road, replay, file, line, said):
        """A wrong line is named, and nothing is stored."""
        path = file({"category": "user:block"}, line)
        code, _, err = await replay("--file", path, "--yes")
        assert code == 1
        assert "requests.jsonl:2:" in err.replace("\n", "")
        assert said in err.replace("\n", " ")
        assert await road.inbox.length() == 0

    async def test_no_file(self, replay):
        """A file that isn't there is an error that names it."""
        code, _, err = await replay("--file", "none.jsonl", "--yes")
        assert code == 1
        assert "none.jsonl can't be read" in err

    async def test_dry_run(self, road, replay, file):
        """--dry-run checks the file, and stores nothing."""
        _, out, _ = await replay("--file", file({"category": "user:block"}), "--dry-run")
        assert "1 event would be stored." in out
        assert await road.inbox.length() == 0

    async def test_a_pipe(self, road, replay):
        """A pipe, which can be read only once, is refused, with what to do."""
        pipe, end = os.pipe()
        os.write(end, b'{"category": "user:block"}\n')
        os.close(end)
        try:
            code, _, err = await replay("--file", f"/dev/fd/{pipe}", "--yes")
        finally:
            os.close(pipe)
        assert code == 1
        assert "expected a regular file" in err
        assert "Save what it gives to a file first" in err
        assert await road.inbox.length() == 0

    async def test_a_file_that_grows(self, road, replay, file, at_the_question):
        """Lines that come while the question stands are not stored, nor looked at."""
        path = file({"category": "user:block"}, b"")

        async def grow():
            Path(path).write_bytes(Path(path).read_bytes() + b"{")

        at_the_question(grow)
        _, out, _ = await replay("--file", path)
        assert out == "Stored: 1 event.\n"
        assert await road.inbox.length() == 1

    async def test_a_file_that_shrinks(self, road, replay, file, at_the_question):
        """Where less is stored than was counted, that is a failure that says so."""
        path = file(*[{"category": "user:block"}] * 2)

        async def shrink():
            file({"category": "user:block"})

        at_the_question(shrink)
        code, _, err = await replay("--file", path)
        assert code == 1
        assert "1 event of 2 were stored" in err
        assert await road.inbox.length() == 1

    async def test_a_full_redis(self, road, replay, file, impatient, full_redis):
        """A Redis that is to be given nothing new gets nothing: it says so, and what to do."""
        code, _, err = await replay("--file", file({"category": "user:block"}), "--yes")
        assert code == 1
        assert "0 events of 1 were stored" in err
        assert "Redis is full" in err
        assert "receiver doctor" in err
        assert await road.inbox.length() == 0

    async def test_a_redis_that_is_full_for_a_while(self, road, replay, file, full_for_a_while):
        """Events wait until Redis has room for them."""
        _, out, _ = await replay("--file", file(*[{"category": "user:block"}] * 3), "--yes")
        assert full_for_a_while[:2] == [0, 0]
        assert out == "Stored: 3 events.\n"
        assert await road.inbox.length() == 3

    async def test_a_small_inbox(self, road, replay, file, small_inbox):
        """An inbox that has less room than a group takes what fits, and the rest when there is room again."""
        groups = small_inbox(3, left=1)
        _, out, _ = await replay("--file", file(*[{"category": "user:block"}] * 6), "--yes")
        assert out == "Stored: 6 events.\n"
        assert groups == [3, 2, 1]

    async def test_a_full_inbox(self, road, replay, file, impatient, monkeypatch):
        """Where the inbox has no room for too long, it says how many were stored."""
        monkeypatch.setenv("RECEIVER_INBOX_LIMIT", "2")
        code, _, err = await replay("--file", file(*[{"category": "user:block"}] * 3), "--yes")
        assert code == 1
        assert "2 events of 3 were stored" in err
        assert await road.inbox.length() == 2

    @pytest.mark.parametrize("arrived", [True, False])
    async def test_a_lost_answer(self, road, replay, file, monkeypatch, arrived):
        """Where an answer is lost, each event is stored once, whether or not it had arrived."""
        honest, lost = Writer.append, []

        async def forgetful(writer, *arguments, **options):
            if lost:
                return await honest(writer, *arguments, **options)
            lost.append(1)
            if arrived:
                await honest(writer, *arguments, **options)
            raise RedisConnectionError("gone")

        monkeypatch.setattr(Writer, "append", forgetful)
        await replay("--file", file(*[{"category": "user:block"}] * 3), "--yes")
        assert await road.inbox.length() == 3
