"""The pytest plugin, as an author meets it: a project of its own, and pytest in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PLUGIN = """
from receiver import BotMessage, Context, Handlers

handlers = Handlers("cake")
bot = handlers.bot("cake_bot")
ended = []


@bot.command("/bake")
async def bake(event: BotMessage, context: Context, words: str) -> str:
    return f"Baking {words}."


@handlers.shutdown
async def end() -> None:
    import asyncio
    ended.append(asyncio.get_running_loop())
"""

TESTS = """
import asyncio
import cake
import pytest
from receiver import BotMessage
from receiver.testing import HandlersContract, run

{mark}

async def test_bake():
    outcome = await run(cake.handlers, BotMessage, text="/bake bread")
    outcome.assert_replied("Baking bread.")


async def test_stage(receiver_stage):
    stage = receiver_stage(cake.handlers)
    (await stage.send(BotMessage, text="/bake rolls")).assert_replied("Baking rolls.")
    cake.ended.clear()
    cake.loop = asyncio.get_running_loop()


def test_the_stage_was_closed_on_its_loop():
    assert cake.ended == [cake.loop]


def test_sandbox(receiver_sandbox, receiver_smtp):
    assert receiver_sandbox.call("GET", "/users")["users"]
    assert receiver_smtp.mails == []


class TestCake(HandlersContract):
    handlers = cake.handlers
"""


@pytest.fixture
def run_pytest(tmp_path):
    """Run pytest in a project with the given settings; return what it prints."""

    def run_pytest(tests, *arguments, settings="", plugin=PLUGIN):
        (tmp_path / "cake.py").write_text(plugin)
        (tmp_path / "test_cake.py").write_text(textwrap.dedent(tests))
        (tmp_path / "pytest.ini").write_text(
            f"[pytest]\npythonpath = .\nfilterwarnings = error\n{settings}\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    return run_pytest


def test_with_anyio_mode(run_pytest):
    """With anyio_mode = auto nothing has to be marked; fixtures and the contract work."""
    printed = run_pytest(TESTS.replace("{mark}", ""), "-q", settings="anyio_mode = auto")
    assert " failed" not in printed
    assert " error" not in printed
    assert " passed" in printed, printed


def test_with_marks(run_pytest):
    """With marks of anyio it works just as well; so does each backend that is asked for, if it is asyncio."""
    mark = 'pytestmark = pytest.mark.anyio\n\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n'
    printed = run_pytest(TESTS.replace("{mark}", mark), "-q")
    assert " failed" not in printed
    assert " passed" in printed, printed


def test_without_a_runner(run_pytest):
    """An asynchronous test that nothing runs fails, and says what to do."""
    tests = """
        import cake

        async def test_stage(receiver_stage):
            receiver_stage(cake.handlers)
    """
    printed = run_pytest(tests)
    assert "mark the test with @pytest.mark.anyio, or set anyio_mode = auto" in printed


def test_a_broken_contract(run_pytest):
    """A broken promise names the fixture, what happened, and what to do."""
    tests = """
        import cake
        from receiver.testing import HandlersContract

        class TestCake(HandlersContract):
            handlers = cake.handlers
            skip = {"strange_values/*": "another time", "out_of_order/*": "as well"}
    """
    plugin = """
from receiver import Handlers

handlers = Handlers("cake")


@handlers.on("group_channel:join")
async def greet(event, context):
    await context.sendbird.send_message(event.channel.channel_url, "Hello")
"""
    printed = run_pytest(tests, "-q", plugin=plugin)
    assert "group_channel:join/plain: the second attempt did this again" in printed
    assert 'Guard it: `async with context.once("name")' in printed
    assert "skip: another time" not in printed


def test_nothing_else_changes(run_pytest):
    """A project that uses nothing of it sees nothing of it, but in the list of fixtures."""
    assert "1 passed" in run_pytest("def test_it(): pass", "--strict-markers", "--strict-config")
    fixtures = run_pytest("def test_it(): pass", "--fixtures")
    ours = [line.split()[0] for line in fixtures.splitlines() if "receiver/testing/plugin.py" in line]
    assert {name.partition("[")[0] for name in ours} >= {
        "receiver_stage",
        "receiver_sandbox",
        "receiver_road",
    }
    assert all(name.startswith("receiver_") for name in ours)
