"""`receiver work`: what it refuses to start with."""

from __future__ import annotations

import os
import signal

import pytest

from tests.processes import receiver, running, wait_for

EMPTY = "from receiver import Handlers\n\nhandlers = Handlers('empty')\n"


@pytest.fixture(autouse=True)
def environment(clean, monkeypatch, tmp_path):
    """A Redis that isn't there: what gets so far as to need it would wait."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("RECEIVER_HANDLERS", "handlers.helper_bot")


def test_hangup(tmp_path, redis_url):
    """SIGHUP, by which the receiver reads its settings anew, ends no worker; the log says so."""
    environment = {"RECEIVER_REDIS_URL": redis_url, "RECEIVER_HANDLERS": "handlers.helper_bot"}
    with running(receiver("work", "--workers", 1), environment, tmp_path / "log") as work:
        wait_for(lambda: "leads" in work.output, what="the dispatcher")
        os.killpg(work.pid, signal.SIGHUP)
        wait_for(lambda: "SIGHUP changes nothing here" in work.output, what="the log line")
        assert "died" not in work.output
        assert work.stop() == 0


@pytest.mark.parametrize("names", [",", "", " , ,"])
def test_names_nothing(run, names):
    """--handlers without a name is no wish for all, nor for none."""
    code, _, err = run("work", "--handlers", names)
    assert code == 1
    assert err == "Error: --handlers names no handler. There are: helper_bot.\n"


def test_names_another(run):
    """A name that isn't there is told, with those that are."""
    code, _, err = run("work", "--handlers", "helper_bot,nobody")
    assert code == 1
    assert err == "Error: there is no handler 'nobody'. There are: helper_bot.\n"


def test_empty(run, monkeypatch, tmp_path):
    """Where no module registers anything, there is nothing to work for."""
    (tmp_path / "empty.py").write_text(EMPTY)
    monkeypatch.setenv("RECEIVER_HANDLERS", "empty.py")
    code, _, err = run("work")
    assert code == 1
    assert err.startswith("Error: there is no handler to run: the Handlers of empty.py are empty. Register")


def test_short_times(run, monkeypatch):
    """Times too short to look at an event, or to know a repeat, are warned of; a minute is not."""
    for retention, window, warned in (("1m", "1m", 0), ("59s", "1m", 1), ("3d", "500ms", 1), ("3s", "3s", 2)):
        monkeypatch.setenv("RECEIVER_RETENTION", retention)
        monkeypatch.setenv("RECEIVER_DEDUPE_WINDOW", window)
        _, out, err = run("work", "--handlers", "nobody")
        said = [line for line in (out + err).splitlines() if "warn" in line]
        assert len(said) == warned, said
    assert "RECEIVER_RETENTION" in said[0]
    assert "finished events go after 3 s" in said[0]
    assert "RECEIVER_DEDUPE_WINDOW" in said[1]
