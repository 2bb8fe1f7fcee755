"""`receiver handlers`: what is listed, and what is forgotten."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from receiver.cli import handlers as verb
from receiver.pipeline import forgetting, keys, lanes, routes
from receiver.pipeline.deliveries import Attempt
from tests.pipeline.conftest import CATEGORY, Road

GONE, KEPT = "test.gone", "test.kept"


@pytest.fixture
def environment(clean, monkeypatch, redis_url):
    """A machine on which only the built-in handlers are loaded."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    monkeypatch.setenv("RECEIVER_HANDLERS", "handlers.helper_bot")
    monkeypatch.setattr(verb, "SETTLES", 0.0)


@pytest.fixture
async def road(client, blocking):
    """A road on which two handlers want the same events."""
    road = Road(client, blocking)
    for name in ("gone", "kept"):
        road.handlers.on(CATEGORY, name=name)(lambda event, context: None)
    return road


async def take(road, name, *, want=1):
    """Begin to drain a lane by hand, and take events from it."""
    lane = lanes.Lane(road.client, name)
    await lane.begin()
    return lane, (await lane.turn([], want=want, share=want, enough=[])).events


async def fill(road):
    """Make deliveries that wait in queues, behind a failure, and with a drain; return the drain's lane."""
    for _ in range(3):
        await road.append("failing")
    await road.dispatch()
    [held] = [lane for lane in await road.lanes() if routes.handler_of(lane) == GONE]
    lane, [first, *behind] = await take(road, held, want=10)
    failed = lanes.retry(first, Attempt(1, 1, "failed"), "failing", 60.0, [one.entry for one in behind])
    await lane.turn([failed], want=0, share=1, enough=[])
    assert (await lane.release(give_way=False)).state == "resting"
    for number in range(40):
        await road.append(f"c{number}")
    await road.dispatch()
    other = next(one for one in await road.lanes() if routes.handler_of(one) == GONE and one != held)
    assert (await take(road, other))[1]
    return other


async def states(road, handler):
    """Return the states of a handler's deliveries, as they are stored, and how often each is."""
    found = [await road.client.hget(key, handler) async for key in road.client.scan_iter("receiver:event:*")]
    return {state.decode(): found.count(state) for state in found}


async def keys_of(road, handler):
    return [key async for key in road.client.scan_iter(f"receiver:lane:{handler}/*")]


async def listed(run):
    _, out, _ = await asyncio.to_thread(run, "handlers", "--json")
    return {one["name"]: one["loaded"] for one in json.loads(out)}


async def test_forget(environment, road, run):
    """What waits is counted and skipped, with its attempts; route and lanes go; others' stay."""
    running = await fill(road)
    await road.client.delete(keys.lane(running, "owner"))  # its worker has died
    assert await listed(run) == {"helper_bot": True, GONE: False, KEPT: False}
    before = sorted(await keys_of(road, KEPT))
    code, out, err = await asyncio.to_thread(run, "handlers", "forget", GONE, "--yes")
    assert (code, err) == (0, "")
    assert out == f"Waiting for {GONE}: 43 events.\nForgotten: {GONE}. Dropped: 43 events.\n"
    assert await states(road, GONE) == {"skipped 0 0": 42, "skipped 1 1": 1}
    assert await states(road, KEPT) == {"waiting 0 0": 43}
    assert await keys_of(road, GONE) == []
    assert sorted(await keys_of(road, KEPT)) == before
    assert {routes.handler_of(lane) for lane in await road.lanes()} == {KEPT}
    assert await road.client.hget(keys.STATS, f"skipped {GONE}") == b"43"
    assert await listed(run) == {"helper_bot": True, KEPT: False}
    await road.append("later")
    await road.dispatcher._learn_routes()
    await road.dispatcher.dispatch_once()
    assert await keys_of(road, GONE) == []


async def test_a_worker_runs_it(environment, road, run):
    """While a drain runs nothing is dropped."""
    await fill(road)
    before = sorted(await keys_of(road, GONE))
    code, _, err = await asyncio.to_thread(run, "handlers", "forget", GONE, "--yes")
    assert code == 1
    assert "a worker still runs it" in err
    left = await forgetting.forget(road.client, GONE)
    assert left == await forgetting.look(road.client, GONE)
    assert (left.known, left.waiting) == (True, 43)
    assert sorted(await keys_of(road, GONE)) == before
    assert await states(road, GONE) == {"waiting 0 0": 42, "retrying 1 1": 1}
    assert await road.client.hexists(keys.ROUTES, GONE)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
async def test_asks(road, run, monkeypatch, answer, code):
    """Without --yes it asks, and does nothing without a yes."""
    await road.append()
    await road.dispatch()
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert (await asyncio.to_thread(run, "handlers", "forget", GONE))[0] == code
    assert await road.client.hexists(keys.ROUTES, GONE) == bool(code)
    assert await states(road, GONE) == {"waiting 0 0" if code else "skipped 0 0": 1}


async def test_what_a_dispatcher_still_brings(environment, road, run, monkeypatch):
    """What a dispatcher brings by the routes it had read is dropped, too."""
    await road.append("early")
    await road.dispatch()
    await road.append("late")
    real, loop = forgetting.forget, asyncio.get_running_loop()

    async def forget(client, name):
        left = await real(client, name)
        late = asyncio.run_coroutine_threadsafe(road.dispatcher.dispatch_once(), loop)
        await asyncio.wrap_future(late)
        return left

    monkeypatch.setattr(forgetting, "forget", forget)
    code, out, _ = await asyncio.to_thread(run, "handlers", "forget", GONE, "--yes")
    assert (code, out.splitlines()[-1]) == (0, f"Forgotten: {GONE}. Dropped: 2 events.")
    assert await states(road, GONE) == {"skipped 0 0": 2}


async def test_loaded_here(environment, run):
    """A handler that is loaded here is not forgotten."""
    code, _, err = await asyncio.to_thread(run, "handlers", "forget", "helper_bot", "--yes")
    assert code == 1
    assert "is loaded here" in err


async def test_not_there(environment, road, run):
    """A handler that nobody knows can't be forgotten, however much its name is like another's."""
    await road.append()
    await road.dispatch()
    for name in ("test.gon", "test", "test.*", "test.gone/1", ""):
        code, _, err = await asyncio.to_thread(run, "handlers", "forget", name, "--yes")
        assert (code, "there is no handler" in err) == (1, True)
    assert await road.client.hlen(keys.ROUTES) == 2


async def test_lanes_without_a_route(environment, road, run):
    """Lanes that were left without a route can be forgotten as well."""
    await road.append()
    await road.dispatch()
    await road.client.hdel(keys.ROUTES, GONE)
    assert (await asyncio.to_thread(run, "handlers", "forget", GONE, "--yes"))[0] == 0
    assert await keys_of(road, GONE) == []


async def test_list(environment, run):
    """`receiver handlers` lists them, as a table and as JSON."""
    code, out, _ = await asyncio.to_thread(run, "handlers")
    assert code == 0
    assert "helper_bot" in out
    assert "receiver.NAME" in out
    assert await listed(run) == {"helper_bot": True}


def test_no_redis(run, monkeypatch):
    """Without Redis the list is that of the code, and there is nothing to forget."""
    monkeypatch.setenv("RECEIVER_HANDLERS", "handlers.helper_bot")
    assert run("handlers")[0] == 0
    code, _, err = run("handlers", "forget", "gone", "--yes")
    assert code == 1
    assert "RECEIVER_REDIS_URL is not set" in err


def test_redis_away(run, monkeypatch, tmp_path):
    """A Redis that doesn't answer is named without its password."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", f"unix://user:hush@{tmp_path}/none.sock")
    code, _, err = run("handlers", "forget", "gone", "--yes")
    assert code == 1
    assert "unix://user:***@" in err
    assert "hush" not in err
