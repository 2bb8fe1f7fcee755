"""`receiver events purge`: what it says before, what it asks, what it proves."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from receiver.errors import SendbirdRefused
from receiver.pipeline import keys
from receiver.pipeline.spool import Spool
from tests.pipeline.conftest import Road
from tests.pipeline.envelopes import envelope

ANN = {"sender": {"user_id": "ann"}}


@pytest.fixture
async def road(clean, monkeypatch, redis_url, client, blocking):
    """A road whose handler refuses everything, with what one person and another have written."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    monkeypatch.setenv("SENDBIRD_API_TOKEN", "t" * 40)
    monkeypatch.setenv("COLUMNS", "200")

    async def refuse(event, context):
        raise SendbirdRefused("never")

    road = Road(client, blocking)
    road.handlers.on("*", name="h")(refuse)
    await road.append(**ANN)
    await road.append(sender={"user_id": "bob"})
    await road.dispatch()
    await road.drain()
    await road.append(**ANN)
    return road


@pytest.fixture
def purge(run):
    """Run `receiver events purge ARGUMENTS` in a thread."""

    async def ran(*arguments):
        return await asyncio.to_thread(run, "events", "purge", *arguments)

    return ran


async def test_dry_run(road, purge):
    """It counts what there is, and removes nothing."""
    code, out, _ = await purge("--user", "ann", "--dry-run", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["found"] == {"inbox": 2, "dead letters": 1}
    assert (told["waiting"], told["unreadable"], told["spool"]) == (1, 0, False)
    assert await road.inbox.length() == 3
    code, out, _ = await purge("--user", "ann", "--dry-run")
    assert "dead letters" in out
    assert "1 of the events wait for a handler" in out


async def test_it_asks(road, purge, monkeypatch):
    """Without --yes it asks, and does nothing where the answer is no."""
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, err = await purge("--user", "ann")
    assert code == 1
    assert "Remove all this?" in err
    assert await road.inbox.length() == 3


async def test_it_removes_and_looks_again(road, purge, client):
    """It says what went and what is left, and leaves a line for an audit, without the id."""
    code, out, err = await purge("--user", "ann", "--yes", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["removed"] == {"inbox": 2, "dead letters": 1}
    assert (told["left"], told["complete"], told["redis"]["inbox"]) == ({}, True, "rewritten")
    assert await road.inbox.length() == 1
    assert await client.zcard(keys.DEAD) == 1
    [line] = [line for line in err.splitlines() if "a person's data was removed" in line]
    assert "ann" not in line.replace("a person's data", "").replace("channel", "")
    code, out, _ = await purge("--user", "ann", "--yes")
    assert code == 0
    assert "Nothing is stored of this person." in out


async def test_what_cannot_be_read_is_told(road, purge):
    """Nobody can tell whether a body that can't be read has the person: no look calls that a clean one."""
    await road.storage.append(envelope(b"\x00sealed"))
    code, out, _ = await purge("--user", "nobody", "--dry-run")
    assert code == 1
    assert "What can be read has nothing of this person." in out
    assert "put the keys that `receiver doctor` names into RECEIVER_ENCRYPTION_KEYS" in out


async def test_what_is_left_is_told(road, purge, client, monkeypatch):
    """Where something could not be removed, the second look finds it, and the exit code is 1."""
    monkeypatch.setattr("receiver.pipeline.removal.Removal._drop", lambda *_: asyncio.sleep(0))
    code, out, _ = await purge("--user", "ann", "--yes")
    assert code == 1
    assert "not known that all of it is gone" in out
    code, out, _ = await purge("--user", "ann", "--yes", "--json")
    assert (code, json.loads(out)["left"]) == (1, {"inbox": 2, "dead letters": 1})


async def test_what_waits_can_stay(road, purge):
    """With --keep-waiting what waits stays, and the exit code says that it isn't all."""
    code, out, _ = await purge("--user", "ann", "--yes", "--keep-waiting", "--json")
    told = json.loads(out)
    assert (code, told["kept"], told["left"], told["complete"]) == (1, {"inbox": 1}, {}, False)
    assert await road.inbox.length() == 2


async def test_the_spool_of_the_data_folder(road, purge, tmp_path):
    """The spool of RECEIVER_DATA_DIR is searched, too."""
    spool = Spool(tmp_path / ".receiver" / "spool", limit=2**24)
    spool.add([envelope(b'{"user_id":"ann"}'), envelope(b"{}")])
    code, out, _ = await purge("--user", "ann", "--yes", "--json")
    assert (code, json.loads(out)["removed"]["spool"]) == (0, 1)
    assert spool.first(10, 1000)[0].envelope.body == b"{}"
    spool.close()


async def test_a_user_is_needed(clean, purge):
    """Without an id, nothing is done."""
    assert (await purge())[0] == 2
    assert (await purge("--user", ""))[0] == 2
