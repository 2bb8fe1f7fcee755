"""Plugins' startup and shutdown: once in each worker process, and tried again while the startup fails."""

from __future__ import annotations

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from receiver.errors import PluginError
from receiver.pipeline import attempts, lifespans
from receiver.pipeline.lifespans import Lifespans
from receiver.plugins import Handlers
from tests.pipeline.conftest import CATEGORY
from tests.processes import receiver, running, wait_for

PLUGIN = """
import os, sys
from receiver import Handlers

handlers = Handlers("plug")


def note(what):
    with open("{folder}/" + what, "a") as file:
        file.write(f"{{os.getpid()}}\\n")


@handlers.startup
async def start():
    broken = os.path.exists("{folder}/broken")
    note("started")
    if broken:
        raise ConnectionError("the database is away")


@handlers.shutdown
def end():
    note("ended")


@handlers.on("*")
async def handle(event, context):
    note("handled")
"""


@pytest.fixture
def said():
    """What the plugin's functions have said, in order."""
    return []


@pytest.fixture
def plugin(said):
    """A plugin with two startup and two shutdown functions, one of each a plain one."""
    plugin = Handlers("plugin")

    async def start():
        await asyncio.sleep(0)
        said.append("start")

    def start_plainly():
        said.append(("start plainly", threading.current_thread() is threading.main_thread()))

    async def end():
        said.append("end")

    def end_plainly():
        said.append("end plainly")

    plugin.startup(start)
    plugin.startup(start_plainly)
    plugin.shutdown(end)
    plugin.shutdown(end_plainly)
    return plugin


class TestAlone:
    async def test_order(self, plugin, said):
        """Startups run in the order they were registered, shutdowns in reverse; plain ones in threads."""
        spans = Lifespans()
        await spans.start(plugin)
        assert said == ["start", ("start plainly", False)]
        await spans.stop()
        assert said[2:] == ["end plainly", "end"]

    async def test_once(self, plugin, said):
        """However many attempts begin at once, or later, the plugin is started once, and ended once."""
        spans = Lifespans()
        await asyncio.gather(*(spans.start(plugin) for _ in range(20)))
        await spans.start(plugin)
        assert said.count("start") == 1
        await spans.stop()
        await spans.stop()
        assert said.count("end") == 1

    async def test_waits(self, plugin):
        """While the startup runs, every attempt waits for its end."""
        begun, going = asyncio.Event(), asyncio.Event()

        async def slow():
            begun.set()
            await going.wait()

        plugin.startup(slow)
        spans = Lifespans()
        waiting = [asyncio.create_task(spans.start(plugin)) for _ in range(3)]
        await begun.wait()
        late = asyncio.create_task(spans.start(plugin))
        await asyncio.sleep(0)
        assert not any(task.done() for task in (*waiting, late))
        going.set()
        await asyncio.gather(*waiting, late)

    async def test_attempt_cut_off(self, plugin, said):
        """An attempt whose time is over while it waits leaves the startup running, for the next one."""
        going = asyncio.Event()
        plugin.startup(going.wait)
        spans = Lifespans()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await spans.start(plugin)
        going.set()
        await spans.start(plugin)
        assert said.count("start") == 1

    @pytest.mark.parametrize("error", [ConnectionError("away"), asyncio.CancelledError()])
    async def test_failure(self, plugin, said, error):
        """A startup that fails fails those that wait, and is run again from its beginning by the next."""
        errors = [error]

        async def fails():
            if errors:
                raise errors.pop()

        plugin.startup(fails)
        spans = Lifespans()
        with pytest.raises(type(error)):
            await spans.start(plugin)
        await spans.stop()
        assert "end" not in said
        await spans.start(plugin)
        assert said.count("start") == 2

    @pytest.mark.parametrize("plain", [True, False])
    async def test_exit(self, plugin, plain):
        """A startup that wants to end the process fails, and ends nothing."""

        async def leave():
            raise SystemExit(3)

        def leave_plainly():
            raise SystemExit(3)

        plugin.startup(leave_plainly if plain else leave)
        with pytest.raises(PluginError, match=r"^a startup function of plugin raised SystemExit\(3\)$"):
            await Lifespans().start(plugin)

    async def test_end_while_it_starts(self, plugin, said):
        """A startup that still runs at the end is cut off; its plugin has not started."""
        begun = asyncio.Event()

        async def hangs():
            begun.set()
            await asyncio.Event().wait()

        plugin.startup(hangs)
        spans = Lifespans()
        waiting = asyncio.create_task(spans.start(plugin))
        await begun.wait()
        await spans.stop()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert "end" not in said

    @pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(1), asyncio.CancelledError()])
    async def test_failing_shutdown(self, plugin, said, error):
        """A shutdown that fails is logged, and keeps no other from running."""

        async def fails():
            raise error

        plugin.shutdown(fails)
        other = Handlers("other")
        other.shutdown(lambda: said.append("other"))
        spans = Lifespans()
        await spans.start(plugin)
        await spans.start(other)
        with capture_logs() as logs:
            await spans.stop()
        assert [(line["event"], line["function"]) for line in logs] == [
            ("a plugin's shutdown failed", "fails")
        ]
        assert logs[0]["error"] == type(error).__name__
        assert __file__ in logs[0]["at"][-1]
        assert not {"exc_info", "exception"} & set(logs[0])
        assert "secret" not in str(logs)
        assert {"end plainly", "end", "other"} <= set(said)

    async def test_hanging_shutdown(self, plugin, said, monkeypatch):
        """A shutdown that hangs is given up, and other plugins' don't wait for it."""
        monkeypatch.setattr(lifespans, "ENDS_WITHIN", 0.05)
        ended = asyncio.Event()

        async def hangs():
            await ended.wait()  # set by the other plugin, were that to come first
            await asyncio.Event().wait()

        async def other_ends():
            ended.set()

        plugin.shutdown(hangs)
        other = Handlers("other")
        other.shutdown(other_ends)
        spans = Lifespans()
        for one in (other, plugin):
            await spans.start(one)
        with capture_logs() as logs:
            await spans.stop()
        assert logs[0]["function"] == "hangs"
        assert ended.is_set()


class TestOnTheRoad:
    async def test_first_attempt(self, road, said):
        """The startup runs before the first attempt, once for many conversations and handlers."""
        road.handlers.startup(lambda: said.append("start"))
        for name in ("one", "two"):
            road.handlers.on(CATEGORY, name=name)(lambda event, context: said.append("handled"))
        for number in range(10):
            await road.append(f"c{number}")
        await road.dispatch()
        await road.drain()
        assert said == ["start", *["handled"] * 20]

    async def test_skipped(self, road, said):
        """An event that is skipped starts nothing."""
        road.handlers.startup(lambda: said.append("start"))
        road.handlers.on(CATEGORY, where=lambda event: False, name="one")(lambda event, context: None)
        await road.append()
        await road.dispatch()
        await road.drain()
        assert said == []

    async def test_failure(self, road, said, monkeypatch):
        """A startup that fails fails the attempt, which comes again and starts the plugin then."""
        monkeypatch.setattr(attempts, "backoff", lambda failures: 0.0)

        async def start():
            said.append("start")
            if len(said) == 1:
                raise ConnectionError("the database is away")

        road.handlers.startup(start)
        road.handlers.on(CATEGORY, name="one")(lambda event, context: said.append("handled"))
        event_id = await road.append()
        await road.dispatch()
        while (await road.delivery(event_id)).status != "done":
            await road.drain()
        assert said == ["start", "start", "handled"]
        first, second = (await road.delivery(event_id)).attempts
        assert (first.outcome, first.error) == ("failed", "ConnectionError: the database is away")
        assert second.outcome == "done"


class TestRealWorkers:
    @pytest.fixture
    def site(self, tmp_path, redis_url):
        (tmp_path / "plug.py").write_text(PLUGIN.format(folder=tmp_path))
        return {"RECEIVER_REDIS_URL": redis_url, "RECEIVER_HANDLERS": str(tmp_path / "plug.py")}

    async def test_a_workers_life(self, site, road, tmp_path):
        """In `receiver work`, each process that handles something starts once, and ends once, cleanly."""

        def pids(what):
            path = tmp_path / what
            return path.read_text().split() if path.exists() else []

        with running(receiver("work", "--workers", 2), site, tmp_path / "work.log") as work:
            for number in range(30):
                await road.append(f"c{number}")
            wait_for(lambda: len(pids("handled")) == 30, what="30 handled events")
            assert pids("ended") == []
            assert work.stop() == 0
        assert sorted(pids("started")) == sorted(set(pids("handled")))
        assert sorted(pids("ended")) == sorted(pids("started"))

    async def test_a_startup_that_fails(self, site, road, tmp_path):
        """While the startup fails so do the attempts; when it works the events are handled."""
        (tmp_path / "broken").touch()
        event_id = await road.append()
        with running(receiver("work", "--workers", 1), site, tmp_path / "work.log") as work:
            wait_for((tmp_path / "started").exists, what="a startup")
            (tmp_path / "broken").unlink()
            wait_for((tmp_path / "handled").exists, what="the handled event")
            assert work.stop() == 0
        delivery = await road.delivery(event_id)
        assert [one.outcome for one in delivery.attempts][-1] == "done"
        assert delivery.attempts[0].error == "ConnectionError: the database is away"
        assert (tmp_path / "ended").exists()
