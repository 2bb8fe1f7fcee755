"""What a developer sees of a failure: the plugin's own code first."""

from __future__ import annotations

import asyncio
import traceback

import pytest
from rich.console import Console

from receiver.cli import events, failures
from receiver.events import Envelope
from receiver.pipeline import keys
from receiver.pipeline.deliveries import Attempt, Delivery, History

PLUGIN = """import json


def handle(event):
    value = look(event)
    return value


def look(event):
    # what people wrote
    return json.loads(event)


def wrap(event):
    try:
        look(event)
    except ValueError as error:
        raise RuntimeError("no JSON") from error


def group(event):
    raise ExceptionGroup("all", [ValueError("one")])
"""


@pytest.fixture
def fail(tmp_path, monkeypatch):
    """Let a function of a plugin fail; return its attempt."""
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(PLUGIN, path, "exec"), names)

    def failed(function):
        try:
            names[function]("{")
        except Exception as error:
            error.__traceback__ = error.__traceback__.tb_next  # this function is no part of it
            text = "".join(traceback.format_exception(error))
            return Attempt(1, 1, "failed", error=f"{type(error).__name__}: {error}", traceback=text)

    return failed


def test_own_code_first(fail):
    """The innermost line of the plugin comes first, with those around it, then its callers and the error."""
    lines = str(failures.shown("plug.handle", fail("handle"), "abc")).splitlines()
    assert lines[1:] == [
        "plug.handle failed in attempt 1",
        "plugin.py:11 in look",
        "     9 | def look(event):",
        "    10 |     # what people wrote",
        ">   11 |     return json.loads(event)",
        "    12 | ",
        "    13 | ",
        "called from plugin.py:5 in handle",
        "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "All of it: receiver events show abc",
    ]


def test_last_exception(fail):
    """Of errors that have causes, the last one's line is shown."""
    shown = str(failures.shown("plug.wrap", fail("wrap"), "abc"))
    assert 'raise RuntimeError("no JSON") from error' in shown
    assert "plugin.py:18 in wrap" in shown


def test_groups(fail):
    """A group of exceptions is shown at the line that raised it."""
    assert "plugin.py:22 in group" in str(failures.shown("plug.group", fail("group"), "abc"))


@pytest.mark.parametrize(
    "attempt",
    [
        Attempt(2, 1, "timed out", error="no end within 30 s"),
        Attempt(2, 1, "failed", error="E: [bold]x", traceback="cut off in the middle\n  File"),
        Attempt(2, 1, "failed", traceback='  File "/gone.py", line 7, in gone\n'),
        Attempt(2, 1, "cut off"),
    ],
)
def test_little_is_known(attempt):
    """Whatever is known of the attempt is shown as it is, and nothing breaks."""
    shown = str(failures.shown("plug.handle", attempt, "abc"))
    assert f"plug.handle {attempt.outcome} in attempt 2" in shown
    assert (attempt.error or "") in shown
    assert ("/gone.py:7 in gone" in shown) == ("gone" in (attempt.traceback or ""))


def test_once(fail, monkeypatch, capsys):
    """Each failed attempt is shown once, and what went well isn't."""
    monkeypatch.setattr(failures, "OUT", Console())
    told = set()
    first = History((Delivery("plug.handle", "retrying", (fail("handle"), Attempt(2, 2, "asked to wait"))),))
    failures.show_new("abc", first, told)
    assert capsys.readouterr().out.count("plug.handle failed in attempt 1") == 1
    second = History(
        (
            Delivery(
                "plug.handle", "done", (fail("handle"), Attempt(2, 2, "timed out"), Attempt(3, 3, "done"))
            ),
        )
    )
    failures.show_new("abc", second, told)
    shown = capsys.readouterr().out
    assert "attempt 1" not in shown
    assert "plug.handle timed out in attempt 2" in shown


@pytest.fixture
async def following(client, monkeypatch):
    """Follow an event whose deliveries have not ended when it is shown; they are set by their states."""
    for module in (events, failures):
        monkeypatch.setattr(module, "OUT", Console())
    monkeypatch.setattr(events, "PATIENCE", 0.2)
    monkeypatch.setattr(failures, "OFTEN", 0.01)
    envelope = Envelope("e" * 24, "webhook", "group_channel:message_send", "team", "", 1, b"{}")

    async def deliver(**states):
        """Set each handler's status, after so many attempts."""
        for name, (status, number) in states.items():
            record = Attempt(number, 1, status if status == "done" else "failed", error="E: no").to_json()
            fields = {f"plug.{name}": f"{status} {number} 0", f"plug.{name} {number}": record}
            await client.hset(keys.event("5-0"), mapping=fields)
        await client.set(keys.CURSOR, "5-0")

    return deliver, lambda: asyncio.create_task(events._show_outcome(client, "5-0", envelope, False))


async def test_ends_are_told(following, capsys):
    """How each delivery ends that had not ended when the event was shown is told once, when it is so."""
    deliver, follow = following
    await deliver(one=("retrying", 1), two=("retrying", 1), three=("done", 1))
    task = follow()
    said = await until(capsys, "plug.two retrying")
    assert "plug.one retrying" in said
    assert "plug.three done" in said
    await deliver(one=("done", 2))
    said = await until(capsys, "plug.one done after 2 attempts")
    assert said.count("\n") == 1
    assert "eeeeeeee  group_channel:message_send  team" in said
    await deliver(two=("retrying", 2))
    await until(capsys, "plug.two failed in attempt 2")
    await deliver(two=("dead", 3))
    await asyncio.wait_for(task, 10)
    said = capsys.readouterr().out
    assert "plug.two dead after 3 attempts" in said
    assert "plug.one" not in said
    assert "plug.three" not in said


async def test_waiting_ends_are_told(following, capsys):
    """So is the end of a delivery that waited for another, and of one that no dispatcher had seen yet."""
    deliver, follow = following
    task = follow()
    await until(capsys, "group_channel:message_send")
    await deliver(one=("done", 1))
    await asyncio.wait_for(task, 10)
    assert "plug.one done\n" in capsys.readouterr().out


async def until(capsys, text):
    """Return what was printed, as soon as `text` is in it."""
    said = ""
    async with asyncio.timeout(10):
        while text not in said:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().out
    return said


def test_nothing_steers_the_terminal():
    """What people wrote, and an error quotes, is shown with its escape sequences made visible."""
    error = "ValueError: bad \x1b]0;title\x07\x1b[2J\u202e\ud83e\r\n\tünï 👍"
    text = failures.shown("plug.one", Attempt(1, 1, "failed", error=error), "e" * 24).plain
    assert "ValueError: bad \\x1b]0;title\\x07\\x1b[2J\\u202e\\ud83e\\r\n\tünï 👍\n" in text
    assert not [one for one in text if one not in "\n\t" and not one.isprintable()]
