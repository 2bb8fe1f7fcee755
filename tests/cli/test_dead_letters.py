"""`receiver dead-letters`: what is listed and shown, and what retry and discard say and do."""

from __future__ import annotations

import asyncio
import io
import json
import re

import pytest
import typer

from receiver.errors import SendbirdRefused
from receiver.pipeline import keys
from receiver.pipeline.worker import LaneWorker
from tests.pipeline.conftest import CATEGORY, Road


@pytest.fixture
def environment(clean, monkeypatch, redis_url):
    """Settings that lead to the tests' Redis, and a wide terminal."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
async def road(environment, client, blocking):
    """A road whose handler refuses everything."""

    async def refuse(event, context):
        raise SendbirdRefused(f"no {event.raw['n']} for you\nnever")

    road = Road(client, blocking)
    road.handlers.on("*", name="h")(refuse)
    return road


async def die(road, *numbers, **options):
    """Make dead letters; return the events' ids."""
    ids = [await road.append(n=n, **options) for n in numbers]
    await road.dispatch()
    await road.drain()
    return ids


@pytest.fixture
def letters(run):
    """Run `receiver dead-letters ARGUMENTS` in a thread."""

    async def ran(*arguments):
        return await asyncio.to_thread(run, "dead-letters", *arguments)

    return ran


async def test_list(road, letters):
    """Each letter has a line with what it is about and the first line of its last error."""
    first, second = await die(road, 1, 2)
    code, out, _ = await letters("list")
    assert code == 0
    line = next(line for line in out.splitlines() if first in line)
    assert all(word in line for word in ("test.h", CATEGORY, "no 1 for you"))
    assert second in out
    assert "never" not in out
    assert re.search(r"\d\d:\d\d:\d\d  ", line)  # milliseconds would only make it wide


async def test_list_in_a_narrow_terminal(road, letters, terminal):
    """At 80 columns neither an id nor a time is broken, nor a word of the rest, which stands below."""
    [event_id] = await die(road, 1)
    shown = terminal(80)
    await letters("list")
    first, *below = shown.getvalue().splitlines()
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {event_id}  test\.h", first)
    assert below == [
        f"    Category: {CATEGORY}  Attempts: 1  Last error:",
        "    SendbirdRefused: no 1 for you",
    ]


async def test_list_into_a_pipe(road, letters, monkeypatch):
    """What goes to a pipe is neither wrapped nor cut, however long it is."""
    monkeypatch.setenv("COLUMNS", "80")
    long = "many " * 50 + "words"
    [event_id] = await die(road, long)
    heading, line = (await letters("list"))[1].splitlines()
    assert heading.startswith("Died")
    assert event_id in line
    assert line.endswith(f"no {long} for you")


async def test_list_as_json(road, letters):
    """With --json each letter is an object on a line of its own."""
    ids = await die(road, 1, 2)
    _, out, _ = await letters("list", "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert [one["id"] for one in told] == ids
    assert (told[0]["handler"], told[0]["attempts"], told[0]["conversation"]) == ("test.h", 1, "c1")
    assert "no 1 for you" in told[0]["error"]


async def test_list_is_limited(road, letters):
    """The list ends at its limit, and says how many there are."""
    await die(road, 1, 2, 3)
    _, out, _ = await letters("list", "--limit", "2")
    assert "2 of 3 dead letters" in out


async def test_an_empty_list(road, letters):
    """Without letters the list says so; with filters that none fits, too."""
    assert "No dead letters." in (await letters("list"))[1]
    await die(road, 1)
    assert "None of the 1 dead letters fits." in (await letters("list", "--handler", "x"))[1]


async def test_show(road, letters):
    """`show` prints the event, every attempt with its error, and the body."""
    [event_id] = await die(road, 1)
    code, out, _ = await letters("show", event_id)
    assert code == 0
    assert all(word in out for word in (event_id, "test.h", "dead", "no 1 for you", '"n": 1'))
    told = json.loads((await letters("show", event_id, "--json"))[1])
    assert (told["id"], told["body"]["n"], told["deliveries"][0]["status"]) == (event_id, 1, "dead")


async def test_show_after_the_retention(road, letters):
    """`show` works when the event has left the inbox; `events show` doesn't."""
    [event_id] = await die(road, 1)
    await road.client.delete(keys.INBOX)
    assert "no 1 for you" in (await letters("show", event_id))[1]


@pytest.mark.parametrize("columns", ["250", "100"])
@pytest.mark.parametrize("verb", [("list",), ("list", "--json"), ("show",), ("show", "--json")])
async def test_a_secret_in_an_old_error(road, letters, monkeypatch, verb, columns):
    """An error that was stored with a secret, by a process that didn't know it, is shown without it."""
    monkeypatch.setenv("COLUMNS", columns)
    secret = "1f0e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"
    [event_id] = await die(road, secret, message=f"a message that has {secret}")
    monkeypatch.setenv("SENDBIRD_DESK_TOKEN", secret)
    arguments = (verb[0], event_id, *verb[1:]) if verb[0] == "show" else verb
    code, out, _ = await letters(*arguments)
    assert code == 0
    assert "***" in out
    assert secret[:12] not in re.sub(r"\s", "", out)


async def test_show_what_is_not_there(road, letters):
    """An id without a letter is an error that says how to find one."""
    code, _, err = await letters("show", "abc")
    assert code == 1
    assert "receiver dead-letters list" in err


async def test_retry(road, letters):
    """`retry` puts what fits back into its lane, and enqueues a drain."""
    first, _ = await die(road, 1, 2)
    code, out, _ = await letters("retry", first, "--yes")
    assert (code, out.splitlines()[0]) == (0, "Retried: 1 dead letter.")
    assert (await road.delivery(first)).status == "retrying"
    assert await road.client.zcard(keys.DEAD) == 1
    assert await road.client.llen("rq:queue:receiver.test.h") >= 1


async def test_retry_without_a_worker(road, letters, blocking):
    """Where no worker runs the handler, `retry` says that it waits; where one does, it doesn't."""
    await die(road, 1, 2)
    _, out, _ = await letters("retry", "--error", "no 1", "--yes")
    assert "No worker runs test.h now" in out
    LaneWorker(["receiver.test.h"], connection=blocking).register_birth()
    _, out, _ = await letters("retry", "--yes")
    assert out == "Retried: 1 dead letter.\n"


async def test_discard(road, letters):
    """`discard` drops what fits the filters, and leaves the rest."""
    _, second = await die(road, 1, 2)
    code, out, _ = await letters("discard", "--error", "no 1", "--yes")
    assert (code, out) == (0, "Discarded: 1 dead letter.\n")
    _, out, _ = await letters("list", "--json")
    assert [json.loads(line)["id"] for line in out.splitlines()] == [second]


@pytest.mark.parametrize("option", ["--older-than", "--newer-than"])
async def test_ages(road, letters, option):
    """Letters are chosen by their age."""
    old, new = await die(road, 1, 2)
    [name] = await road.client.zrange(keys.DEAD, 0, 0)
    await road.client.zadd(keys.DEAD, {name: 1})
    _, out, _ = await letters("list", option, "1h", "--json")
    assert [json.loads(line)["id"] for line in out.splitlines()] == [old if option == "--older-than" else new]


async def test_an_age_that_is_none(road, letters):
    """What is no age is refused, with one that is."""
    code, _, err = await letters("list", "--older-than", "soon")
    assert code == 2
    assert "12h" in err


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize("answer", ["y\n", "n\n", ""])
async def test_asks(road, letters, monkeypatch, verb, answer):
    """Without --yes it asks, says how many are meant, and does nothing without a yes."""
    await die(road, 1, 2)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    code, out, _ = await letters(verb)
    assert "2 dead letters?" in out
    assert (code == 0) == (answer == "y\n")
    assert await road.client.zcard(keys.DEAD) == (0 if answer == "y\n" else 2)


@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_one_that_dies_again_at_the_question(road, letters, monkeypatch, verb):
    """An old letter that was retried, and has died just now, while the question stood isn't the one meant."""
    [event_id] = await die(road, 1)
    [name] = await road.client.zrange(keys.DEAD, 0, 0)
    await road.client.zadd(keys.DEAD, {name: 1})
    loop = asyncio.get_running_loop()

    async def die_again():
        assert (await letters("retry", event_id, "--yes"))[0] == 0
        await road.drain()

    def confirm(*_, **__):
        return asyncio.run_coroutine_threadsafe(die_again(), loop).result() or True

    monkeypatch.setattr(typer, "confirm", confirm)
    _, out, _ = await letters(verb, "--older-than", "1h")
    assert "0 dead letters." in out
    assert "1 dead letter had been retried or discarded by somebody else meanwhile." in out
    assert await road.client.zcard(keys.DEAD) == 1
    assert (await road.delivery(event_id)).status == "dead"


@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_nothing_fits(road, letters, verb):
    """Where nothing fits it says so; an id that has no letter is a failure."""
    assert (await letters(verb, "--yes"))[:2] == (0, "No dead letter fits.\n")
    assert (await letters(verb, "abc", "--yes"))[0] == 1


async def test_a_forgotten_handlers_letters(road, letters):
    """The letters of a handler that is no more can be listed and discarded."""
    await die(road, 1)
    await road.client.delete(keys.ROUTES)
    assert "test.h" in (await letters("list"))[1]
    assert (await letters("discard", "--handler", "test.h", "--yes"))[1] == "Discarded: 1 dead letter.\n"
