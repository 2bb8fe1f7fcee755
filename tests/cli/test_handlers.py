"""`receiver handlers`: what is listed, what is shown of one, and what is forgotten."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from receiver.cli import handlers as verb
from receiver.pipeline import forgetting, histories, keys, lanes, routes
from receiver.pipeline.deliveries import Attempt
from tests.pipeline.conftest import CATEGORY, Road

GONE, KEPT = "test.gone", "test.kept"


@pytest.fixture
def environment(clean, monkeypatch, redis_url):
    """A machine on which only the built-in handlers are loaded."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    monkeypatch.setenv("RECEIVER_HANDLERS", "handlers.helper_bot")
    monkeypatch.setattr(verb, "SETTLES", 0.0)
    monkeypatch.setenv("COLUMNS", "200")  # paths of the tests' folders are long


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
    found = []
    entries = [entry for entry, _ in await road.inbox.latest(1000)]
    for entry, history in zip(entries, await histories.load(road.client, entries), strict=True):
        stored = await road.client.hget(keys.event(entry), handler)
        mine = [one.status for one in history.deliveries if one.handler == handler]
        found += [stored.decode() if stored else f"{status} 0 0" for status in mine]
    return {state: found.count(state) for state in found}


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


PLUGIN = """
from pydantic import Field
from receiver import Handlers, PluginSettings, Secret

class Settings(PluginSettings, env_prefix="GREETER_"):
    greeting: str = Field("Hello", description="What is said to newcomers.")
    token: Secret | None = None
    rooms: str = "lobby"

handlers = Handlers("greeter", settings=Settings)
bot = handlers.bot("greet_bot")

@bot.command("/hi")
async def hi(event, context, words):
    '''Say hi.'''

@handlers.startup
async def connect(): ...

@handlers.shutdown
def hang_up(): ...

@handlers.on("group_channel:message_send", type="FILE", retries=2, where=lambda event: True)
async def scan(event, context):
    '''Scan it.

    And more.
    '''

@handlers.collect(quiet=1, longest=60, most=7)
async def digest(batch, context): ...
"""


@pytest.fixture
def greeter(clean, monkeypatch, tmp_path):
    """A plugin of everything, with settings from everywhere."""
    (tmp_path / "greeter.py").write_text(PLUGIN)
    (tmp_path / "receiver.toml").write_text('GREETER_ROOMS = "hall"\n')
    monkeypatch.setenv("RECEIVER_HANDLERS", "greeter.py")
    monkeypatch.setenv("GREETER_TOKEN", "hush")
    monkeypatch.setenv("COLUMNS", "200")


def line(text):
    """Return the number of the line of the plugin that begins with `text`."""
    return next(number for number, one in enumerate(PLUGIN.splitlines(), 1) if one.startswith(text))


@pytest.mark.usefixtures("greeter")
def test_show_a_plugin(run, tmp_path):
    """A plugin is shown with its settings, its hooks and all of its handlers; its secrets aren't."""
    code, out, _ = run("handlers", "show", "greeter")
    assert code == 0
    assert "hush" not in out
    rows = [" ".join(row.split()) for row in out.splitlines()]
    for expected in (
        f"Startup connect {tmp_path}/greeter.py:{line('@handlers.startup')}",
        f"Shutdown hang_up {tmp_path}/greeter.py:{line('@handlers.shutdown')}",
        "GREETER_GREETING Hello default Hello What is said to newcomers.",
        "GREETER_TOKEN *** environment",
        "GREETER_ROOMS hall receiver.toml lobby",
        "Handler greeter.greet_bot",
        f"Command /hi Say hi. {tmp_path}/greeter.py:{line('@bot.command')}",
        "Handler greeter.digest",
        "Closes after 1 s quiet, 60 s in all, or 7 events",
        "Redis RECEIVER_REDIS_URL is not set",
    ):
        assert expected in rows


@pytest.mark.usefixtures("greeter")
def test_show_a_handler(run, tmp_path):
    """A handler is shown alone, with its plugin: its wishes, limits, docstring and place."""
    code, out, _ = run("handlers", "show", "greeter.scan")
    assert code == 0
    assert "greet_bot" not in out
    for expected in (
        "Scan it.",
        "And more.",
        f"greeter.py:{line('@handlers.on')}",
        "group_channel:message_send; type FILE",
        "2 retries, 30 s an attempt, 64 conversations",
        "receiver.greeter.scan",
    ):
        assert expected in out


@pytest.mark.usefixtures("greeter")
def test_show_as_json(run, tmp_path):
    """The same as JSON, for programs."""
    _, out, _ = run("handlers", "show", "greeter", "--json")
    shown = json.loads(out)
    [plugin] = shown["plugins"]
    assert [one["origin"] for one in plugin["settings"]] == ["default", "environment", "receiver.toml"]
    assert plugin["settings"][1]["value"] == "***"
    assert [one["name"] for one in plugin["startup"]] == ["connect"]
    assert [one["name"] for one in shown["handlers"]] == [
        "greeter.greet_bot",
        "greeter.scan",
        "greeter.digest",
    ]
    assert shown["handlers"][0]["commands"][0]["name"] == "/hi"
    assert shown["handlers"][1]["doc"] == "Scan it.\n\nAnd more."
    assert shown["handlers"][1]["waiting"] is None


@pytest.mark.usefixtures("greeter")
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("greter.scan", "Did you mean greeter.scan or "),
        ("greter", "Did you mean greeter or "),
        ("x", "There are: greeter, greeter.digest, greeter.greet_bot, greeter.scan."),
    ],
)
def test_show_nothing(run, name, hint):
    """A name that isn't there is told, with those that are like it."""
    code, _, err = run("handlers", "show", name)
    assert code == 1
    assert f"there is no handler or plugin '{name}'. {hint}" in err


async def test_show_what_redis_knows(environment, road, run, monkeypatch, tmp_path):
    """Of a handler it is shown what waits, which route is published, and the latest failures."""
    monkeypatch.setenv("COLUMNS", "200")
    source = "from receiver import Handlers\nhandlers = Handlers('test')\n"
    for name in ("gone", "other"):
        source += f"@handlers.on({CATEGORY!r}, name={name!r})\nasync def {name}(event, context): ...\n"
    (tmp_path / "plugin.py").write_text(source)
    monkeypatch.setenv("RECEIVER_HANDLERS", "plugin.py")
    await fill(road)
    _, out, _ = await asyncio.to_thread(run, "handlers", "show", "test", "--json")
    gone, other = json.loads(out)["handlers"]
    assert (gone["waiting"], gone["running"], other["waiting"]) == (43, True, 0)
    assert gone["published"] == gone["filter"]
    assert other["published"] is None
    [failure] = gone["failures"]
    assert (failure["outcome"], failure["error"], failure["attempt"]) == ("failed", None, 1)
    _, out, _ = await asyncio.to_thread(run, "handlers", "show", "test")
    assert "published as above" in out
    assert "not published: it gets no events until a worker has it" in out
    _, out, _ = await asyncio.to_thread(run, "handlers", "show", KEPT)
    assert "not loaded here" in out
    assert "Waiting  43" in out


@pytest.mark.usefixtures("greeter")
def test_show_without_redis(run, monkeypatch, tmp_path):
    """A Redis that doesn't answer is said, without its password; the rest is shown."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", f"unix://user:hush@{tmp_path}/none.sock")
    code, out, _ = run("handlers", "show", "greeter.scan")
    assert code == 0
    assert "does not answer" in out
    assert "hush" not in out


@pytest.mark.parametrize("arguments", [(), ("show", "helper_bot"), ("show", "test.newer")])
def test_routes_of_a_newer_version(environment, run, blocking, arguments):
    """A route that this version doesn't understand is passed over, whether its handler is here or not."""
    newer = b'{"handler": "%b", "filter": {"moon": ["full"]}}'
    blocking.hset(keys.ROUTES, mapping={name: newer % name for name in (b"helper_bot", b"test.newer")})
    code, out, _ = run("handlers", *arguments)
    assert code == 0
    assert (arguments or ["helper_bot"])[-1] in out
