"""`receiver events` on batches. (It stands here for what makes batches.)"""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from receiver import settings
from receiver.cli import main
from receiver.pipeline.connection import connect
from tests.pipeline.collecting import Collecting
from tests.pipeline.conftest import Road


@pytest.fixture
def run(redis_url, tmp_path, monkeypatch, capsys):
    """Run `receiver ARGUMENTS` and return what it has printed."""
    for name in settings.names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def ran(*arguments):
        monkeypatch.setattr(sys, "argv", ["receiver", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            sys.exit(main())
        assert not ended.value.code
        return capsys.readouterr().out

    return ran


@pytest.fixture
def cancelled(redis_url, blocking):
    """The ids of two events, and of the batch of them, which was tried, and then cancelled."""

    async def work():
        client = connect(redis_url)
        plugin = Collecting(Road(client, blocking))
        plugin.fail = {"ada": 1}
        sent = [await plugin.send(n, "ada") for n in range(2)]
        await plugin.digest()
        await plugin.cancel(2, "ada")
        await plugin.finish()
        await client.aclose()
        return *sent, plugin.begun[0][2]

    return asyncio.run(work())


def test_show(run, cancelled):
    """`events show` tells a batch's key, when it closed, what it gathered, and that it was cancelled."""
    *gathered, batch = cancelled
    shown = run("events", "show", batch)
    assert all(word in shown for word in ("receiver:batch", "Key", "ada", "Closed", "Cancelled", *gathered))
    assert "Identity" not in shown
    told = json.loads(run("events", "show", batch, "--json"))
    assert (told["conversation"], told["gathered"], told["cancelled"]) == ("ada", gathered, True)
    assert told["deliveries"][0]["status"] == "skipped"
    other = json.loads(run("events", "show", gathered[0], "--json"))
    assert "gathered" not in other
    assert other["cancelled"] is False


def test_list(run, cancelled):
    """`events` lists a batch with its key and what became of it."""
    line = next(line for line in run("events").splitlines() if cancelled[-1] in line)
    assert all(word in line for word in ("receiver:batch", "ada", "cancelled", "test.digest", "skipped"))
    [told] = map(json.loads, run("events", "--json", "--category", "receiver:batch").splitlines())
    assert told["id"] == cancelled[-1]
