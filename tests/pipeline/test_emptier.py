"""Emptying the spool: whatever stands in the way, nothing is left behind, lost or overtaken."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from receiver.errors import NotStored
from receiver.pipeline import keys, room, spool
from receiver.pipeline import storage as storage_module
from receiver.pipeline.spool import Spool
from receiver.pipeline.storage import Storage
from tests.pipeline.envelopes import envelope
from tests.pipeline.test_storage import LIMIT, stored, until


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Spools are emptied without a pause."""
    monkeypatch.setattr(storage_module, "RETRY", 0.01)


@pytest.fixture
def left(tmp_path):
    """A spool that a process has left, with three events."""
    events = [envelope() for _ in range(3)]
    one = Spool(tmp_path / "spool", limit=LIMIT)
    one.add(events)
    one.close()
    return [event.id for event in events]


def storage(client, tmp_path, *, limit=0, spool_limit=LIMIT):
    return Storage(client, tmp_path / "spool", limit=limit, spool_limit=spool_limit)


async def test_an_append_in_flight(client, tmp_path):
    """A group that gets lost on its way is stored, though the same process has emptied a spool meanwhile."""
    one = storage(client, tmp_path)
    await one.open()
    sent, lose = asyncio.Event(), asyncio.Event()
    append = one._writers._writer._append

    class Lost:
        async def run(self, *arguments):
            sent.set()
            await lose.wait()
            raise RedisConnectionError("lost on its way")

    one._writers._writer._append = Lost()
    first = envelope()
    accepting = asyncio.create_task(one.append(first))
    await sent.wait()
    another, second = Spool(tmp_path / "spool", limit=LIMIT), envelope()
    another.add([second])
    await until(lambda: not one.spooling)
    assert await stored(client) == [second.id]
    one._writers._writer._append = append
    lose.set()
    assert await accepting == "spool"
    await until(lambda: not one.spooling)
    assert await stored(client) == [second.id, first.id]
    await one.close()
    another.close()


async def test_a_spool_that_cannot_be_opened_yet(client, tmp_path, left, monkeypatch):
    """What it holds comes first: until it opens, new events are refused, and then go behind."""
    broken = True

    def connect(*arguments, **options):
        if broken and not options.get("uri"):
            raise sqlite3.OperationalError("database is locked")
        return really(*arguments, **options)

    really = sqlite3.connect
    monkeypatch.setattr(spool.sqlite3, "connect", connect)
    one = storage(client, tmp_path)
    await one.open()
    with pytest.raises(NotStored, match="locked"):
        await one.append(envelope())
    assert await stored(client) == []
    broken = False
    await until(lambda: not one.spooling)
    last = envelope()
    await one.append(last)
    assert await stored(client) == [*left, last.id]
    await one.close()


async def test_a_spool_that_cannot_be_looked_at(client, tmp_path, left, monkeypatch):
    """A spool of which nobody can tell whether it holds anything is taken for one that does."""

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(spool, "peek", refuse)
    monkeypatch.setattr(spool.private, "make_folder", refuse)
    one = storage(client, tmp_path)
    await one.open()
    assert one.spooling
    assert not await one.can_spool()
    with pytest.raises(NotStored, match="Permission denied"):
        await one.append(envelope())
    await one.close()


async def test_no_spool_any_more(client, tmp_path, left):
    """With RECEIVER_SPOOL_LIMIT=0 what is in the spool from before goes into the inbox all the same."""
    one = storage(client, tmp_path, spool_limit=0)
    await one.open()
    await until(lambda: not one.spooling)
    assert await stored(client) == left
    assert not await one.can_spool()
    await one.close()


async def test_an_inbox_with_little_room(client, tmp_path, left):
    """A spool that holds more than the inbox has room for empties as far as it goes."""
    one = storage(client, tmp_path, limit=2)
    await one.open()
    await until(lambda: one._spool.count() == 1)
    assert await stored(client) == left[:2]
    await client.xtrim(keys.INBOX, maxlen=0, approximate=False)
    await until(lambda: not one.spooling)
    assert await stored(client) == left[2:]
    await one.close()


async def test_waiting_costs_nothing(client, tmp_path, left, monkeypatch):
    """A full inbox is tried again and again: that leaves no writers behind, and one line in the log."""
    await client.xadd(keys.INBOX, {"id": "x"})
    one, tries = storage(client, tmp_path, limit=1), 0
    move = one._emptier._move_some

    async def counted(held):
        nonlocal tries
        tries += 1
        return await move(held)

    monkeypatch.setattr(one._emptier, "_move_some", counted)
    with capture_logs() as told:
        await one.open()
        await until(lambda: tries > 20)
    assert len(await client.keys(keys.writer("*"))) == 0
    assert len([line for line in told if "waits" in line["event"]]) == 1
    await one.close()


async def test_a_user_who_may_not_ask(redis_server, client, tmp_path, left):
    """A Redis user without INFO can empty the spool: that there is a limit of memory is not known then."""
    from receiver.pipeline.connection import connect

    await client.acl_setuser("plain", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
    url = redis_server.url.replace("unix://", "unix://plain:x@")
    plain = connect(url)
    try:
        assert await room.used(plain) == 0
        one = storage(plain, tmp_path)
        await one.open()
        await until(lambda: not one.spooling)
        assert await stored(client) == left
        await one.close()
    finally:
        await plain.aclose()
        await client.acl_deluser("plain")


async def test_a_removal_that_fails(client, tmp_path, left):
    """When removed events could not be forgotten, the spool says so, and they don't come twice."""
    one = storage(client, tmp_path)
    spool_of_one = await one._open_spool()
    database, failures = spool_of_one._database, []

    class Failing:
        def execute(self, command, *arguments):
            if command == "COMMIT" and not failures:
                failures.append(command)
                raise sqlite3.OperationalError("disk I/O error")
            return database.execute(command, *arguments)

        def __getattr__(self, name):
            return getattr(database, name)

    spool_of_one._database = Failing()
    with capture_logs() as told:
        await one.open()
        await until(lambda: failures and not one.spooling)
    assert spool_of_one.count() == 0
    assert await stored(client) == left
    assert any("can't be emptied" in line["event"] for line in told)
    spool_of_one._database = database
    await one.close()


def test_first_is_bounded_in_bytes(tmp_path):
    """What is read at once is bounded in bytes, and is one event at the least."""
    one = Spool(tmp_path, limit=LIMIT)
    one.add([envelope(body=b"{%s}" % (b" " * 1000)) for _ in range(5)])
    assert [len(one.first(10, size)) for size in (1, 2500, 10**6)] == [1, 2, 5]
    one.close()
