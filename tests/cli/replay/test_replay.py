"""`receiver replay`: what is chosen, what is said of it, and what handlers see."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from receiver.cli import replay as verb
from receiver.pipeline import keys
from receiver.pipeline.housekeeping import Housekeeper
from tests.cli.replay.replaying import EVER, HOUR, now, receive, seen, work
from tests.pipeline.conftest import CATEGORY


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
