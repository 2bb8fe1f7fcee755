"""Logs: one form for ours and for the libraries', and no line that can't be read by a machine."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import structlog

from receiver import logs, redaction

QUIET = ("httpx", "httpcore")


@pytest.fixture(autouse=True)
def restored():
    """Logging is as before after the test."""
    root = logging.getLogger()
    before = root.handlers, root.level
    quiet = {logging.getLogger(name): logging.getLogger(name).level for name in QUIET}
    for log in quiet:
        log.propagate = True  # a server in this process may have turned it off
    yield
    root.handlers, root.level = before
    for log, level in quiet.items():
        log.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stderr(capsys):
    """Gives what has gone to stderr since it was last asked."""
    return lambda: capsys.readouterr().err


def ours():
    """Return a logger that nobody has used: structlog's loggers keep the form they were first used with."""
    return structlog.get_logger(f"test.{uuid4().hex}")


def lines(stderr: Callable[[], str]) -> list[dict]:
    return [json.loads(line) for line in stderr().splitlines()]


def test_json(stderr):
    """A line is one JSON object with time (UTC), level, logger and what was said."""
    logs.configure("json")
    log = structlog.get_logger("test.json")
    log.info("stored", events=3, name="é\n")
    [line] = lines(stderr)
    told = datetime.fromisoformat(line.pop("timestamp"))
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)
    assert line == {"event": "stored", "level": "info", "logger": "test.json", "events": 3, "name": "é\n"}


def test_libraries(stderr):
    """A library's line has the same form as ours."""
    logs.configure("json")
    logging.getLogger("library").warning("lost %d of %s", 3, "five")
    [line] = lines(stderr)
    assert line.pop("timestamp")
    assert line == {"event": "lost 3 of five", "level": "warning", "logger": "library"}


@pytest.mark.parametrize("library", [True, False])
def test_exceptions(stderr, library):
    """An exception is part of its line."""
    logs.configure("json")
    log = logging.getLogger("library") if library else ours()
    try:
        raise ValueError("no\nway")
    except ValueError:
        log.exception("failed")
    [line] = lines(stderr)
    assert line["level"] == "error"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: no\nway")


@pytest.mark.parametrize("value", [b"\xff", {1, 2}, object(), ValueError("x"), {"a": b"x"}, (1,)])
def test_any_value(stderr, value):
    """Whatever a line carries, it can be written."""
    logs.configure("json")
    ours().info("odd", value=value)
    [line] = lines(stderr)
    assert "value" in line


def test_bound_context(stderr):
    """What is bound to the running task is in each of its lines, the libraries' too."""
    logs.configure("json")
    with structlog.contextvars.bound_contextvars(request="r1"):
        ours().info("ours")
        logging.getLogger("library").warning("theirs")
    ours().info("after")
    assert [line.get("request") for line in lines(stderr)] == ["r1", "r1", None]


def test_levels(stderr):
    """Debugging is left out, ours and the libraries'."""
    logs.configure("json")
    ours().debug("no")
    logging.getLogger("library").debug("no")
    ours().info("yes")
    logging.getLogger("library").info("yes")
    assert [line["event"] for line in lines(stderr)] == ["yes", "yes"]


def test_level_given(stderr):
    """Another level may be asked for."""
    logs.configure("json", level=logging.ERROR)
    ours().warning("no")
    ours().error("yes")
    assert [line["event"] for line in lines(stderr)] == ["yes"]


@pytest.mark.parametrize("name", QUIET)
def test_urls_stay_out(stderr, name):
    """Libraries that log every URL are quiet: the webhook's secret stands in one."""
    logs.configure("json")
    logging.getLogger(name).info("POST /sendbird/webhook/secret")
    logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines(stderr)] == ["trouble"]


def test_no_access_log(stderr):
    """uvicorn finds nobody who hears of its requests, so that it makes no lines of them."""
    logs.configure("json")
    access = logging.getLogger("uvicorn.access")
    assert not access.hasHandlers()
    access.info("POST /sendbird/webhook/secret")
    assert lines(stderr) == []


def test_console(stderr):
    """For people, a line is text with what was said in front of the rest."""
    logs.configure("console")
    ours().info("stored", events=3)
    line = stderr()
    assert "stored" in line
    assert "events" in line
    with pytest.raises(ValueError, match=r"Expecting value|Extra data|Invalid"):
        json.loads(line)


@pytest.mark.parametrize("terminal", [True, False])
def test_auto(stderr, monkeypatch, terminal):
    """By itself, the form is text on a terminal and JSON elsewhere."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    logs.configure("auto")
    ours().info("stored")
    assert stderr().startswith("{") is not terminal


def test_once(stderr):
    """Configured twice, a line is written once."""
    logs.configure("json")
    logs.configure("json")
    logging.getLogger("library").warning("said")
    assert len(lines(stderr)) == 1


def test_stdout_is_free(capsys):
    """Logs leave stdout alone: it belongs to `--json`."""
    logs.configure("json")
    ours().info("stored")
    logging.getLogger("library").warning("said")
    assert capsys.readouterr().out == ""


def test_no_local_variables_on_a_console(stderr):
    """A traceback on a console shows lines of code, and no values: they may be what people wrote."""
    logs.configure("console")
    body = "".join(("a secret ", "letter"))
    try:
        body.index("nothing")
    except ValueError:
        structlog.get_logger("x").exception("it failed")
    told = stderr()
    assert "ValueError" in told
    assert "body.index" in told
    assert "a secret letter" not in told


SECRET = 'a-"secret" of/ours ü'


def leak(log):
    """Have a line leak a secret in its text, its values, their names, and its exception."""
    try:
        raise ValueError(f"no {SECRET}") from RuntimeError({"api-token": "unknown-to-us", "k": SECRET})
    except ValueError as error:
        log.exception(f"failed with {SECRET}", extra={SECRET: [SECRET, {"x": repr(SECRET)}], "cause": error})


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("library", [True, False])
def test_no_secrets(stderr, form, library):
    """No line shows a secret of this process, or what stands under a secret's name, whoever wrote it."""
    redaction.learn(SECRET)
    logs.configure(form)
    leak(logging.getLogger("library") if library else ours())
    if library:
        logging.getLogger("library").warning("%s %r %s", SECRET, SECRET.encode(), {"k": SECRET})
    told = stderr()
    assert "***" in told
    assert "ValueError" in told
    for secret in (SECRET, repr(SECRET)[1:-1], json.dumps(SECRET)[1:-1], "of/ours", "unknown-to-us"):
        assert secret not in told
    if form == "json":
        assert all(map(json.loads, told.splitlines()))


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_task_that_nobody_waits_for(stderr, form):
    """asyncio's account of a lost exception says what and where, and not with which words."""
    logs.configure(form)

    async def fail():
        raise ValueError("what somebody wrote")

    async def lose():
        task = asyncio.create_task(fail())
        await asyncio.wait([task])

    asyncio.run(lose())
    told = stderr()
    assert "Task exception was never retrieved: ValueError at " in told
    assert "test_logs.py" in told
    assert "what somebody wrote" not in told


def test_a_thread_that_fails(stderr):
    """A thread's end is told by its place only."""
    with logs.guarded():
        logs.configure("json")
        thread = threading.Thread(target=int, args=("what somebody wrote",), name="t")
        thread.start()
        thread.join()
    [line] = lines(stderr)
    assert line["event"] == "a thread failed: ValueError at " + line["event"].partition(" at ")[2]
    assert "what somebody wrote" not in str(line)


def test_guarded_streams(capsys):
    """What is written past the log shows no known secret, and is otherwise as it was."""
    redaction.learn(SECRET)
    with logs.guarded():
        sys.stdout.write(f"out {SECRET}\n")
        sys.stderr.write(f"err {json.dumps(SECRET)}\n")
        assert not sys.stdout.isatty()
        assert sys.stdout.encoding.lower() == "utf-8"
        sys.stdout.flush()
    told = capsys.readouterr()
    assert (told.out, told.err) == ("out ***\n", 'err "***"\n')
    assert not isinstance(sys.stdout, logs.Guarded)
