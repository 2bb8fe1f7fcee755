"""Storing: group commit into the inbox; into the spool while Redis can't; each event once, in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from receiver.embedded import EmbeddedRedis
from receiver.errors import Fenced, NotStored
from receiver.pipeline import keys
from receiver.pipeline import storage as storage_module
from receiver.pipeline.connection import connect
from receiver.pipeline.inbox import Inbox
from receiver.pipeline.marks import Mark
from receiver.pipeline.storage import Storage
from receiver.pipeline.writer import REMEMBERED, Writer, fence
from tests.pipeline.envelopes import envelope

LIMIT = 2**24


async def until(condition):
    """Wait until the condition is true; the test's own time limit ends it."""
    while not condition():
        await asyncio.sleep(0.01)


async def stored(client):
    """Return the ids of what the inbox holds, oldest first."""
    return [one.id for _, one in reversed(await Inbox(client).latest(100_000))]


@pytest.fixture
def quick(monkeypatch):
    """Spools are emptied without a pause."""
    monkeypatch.setattr(storage_module, "RETRY", 0.01)


@pytest.fixture
async def storage(client, tmp_path, quick):
    one = Storage(client, tmp_path / "spool", limit=0, spool_limit=LIMIT)
    await one.open()
    yield one
    await one.close()


@pytest.fixture
async def server(tmp_path):
    """A Redis of its own, to be killed and frozen; it syncs every write."""
    with EmbeddedRedis(tmp_path / "redis", fsync="always") as one:
        yield one


@pytest.fixture
async def mortal(server):
    """A client of that Redis, with a short patience."""
    one = connect(server.url, timeout=0.3)
    yield one
    await one.aclose()


@pytest.fixture
async def brave(mortal, tmp_path, quick):
    """A storage on that Redis."""
    one = Storage(mortal, tmp_path / "spool", limit=0, spool_limit=LIMIT)
    await one.open()
    yield one
    await one.close()


class TestGroups:
    """Group commit."""

    async def test_order(self, client, storage):
        """Events appended one after the other in one turn of the loop stand in that order."""
        events = [envelope(b'{"n":%d}' % n) for n in range(2500)]
        places = await asyncio.gather(*(storage.append(one) for one in events))
        assert set(places) == {"inbox"}
        assert await stored(client) == [one.id for one in events]

    async def test_sharing(self, storage):
        """All appends that wait while a group is on its way go into the next one together."""
        sent = []
        append = storage._writers._writer.append

        async def counted(envelopes, group):
            sent.append(len(envelopes))
            await append(envelopes, group)

        storage._writers._writer.append = counted
        first = asyncio.create_task(storage.append(envelope()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.gather(first, *(storage.append(envelope()) for _ in range(99)))
        assert sent == [1, 99]

    async def test_bytes(self, storage, monkeypatch):
        """A group has an end in bytes, and an event that is larger than that goes alone."""
        monkeypatch.setattr(storage_module, "GROUP_BYTES", 1000)
        sent = []
        append = storage._writers._writer.append

        async def counted(envelopes, group):
            sent.append([len(one.body) for one in envelopes])
            await append(envelopes, group)

        storage._writers._writer.append = counted
        sizes = [400, 400, 400, 5000, 10, 980, 20]
        await asyncio.gather(*(storage.append(envelope(b"x" * size)) for size in sizes))
        assert sent == [[400, 400], [400], [5000], [10, 980], [20]]

    async def test_giving_up(self, client, storage):
        """A sender that gives up while its event waits leaves the rest of the group alone."""
        given_up = asyncio.create_task(storage.append(envelope()))
        kept = asyncio.create_task(storage.append(envelope()))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await kept == "inbox"
        with pytest.raises(asyncio.CancelledError):
            await given_up

    async def test_a_mistake_of_ours(self, client, storage):
        """Whatever goes wrong while a group is stored, each of its appends ends, and later ones work."""
        writers, storage._writers = storage._writers, None
        with pytest.raises(NotStored):
            await storage.append(envelope())
        storage._writers = writers
        assert await storage.append(envelope()) == "inbox"
        assert len(await stored(client)) == 1

    async def test_restart_while_nothing_comes(self, server, mortal, brave, monkeypatch):
        """When Redis was restarted meanwhile, the next event is in the inbox: the connection is looked at."""
        monkeypatch.setattr(storage_module, "IDLE", 0.0)
        assert await brave.append(envelope()) == "inbox"
        server.kill()
        server.start()
        assert await brave.append(envelope()) == "inbox"
        assert len(await stored(mortal)) == 2

    async def test_close_answers_what_waits(self, client, tmp_path):
        """Closing lets what waits be stored first."""
        one = Storage(client, tmp_path / "spool", limit=0, spool_limit=LIMIT)
        await one.open()
        waiting = [asyncio.create_task(one.append(envelope())) for _ in range(2000)]
        await asyncio.sleep(0)
        await one.close()
        assert {await place for place in waiting} == {"inbox"}


class TestLimits:
    """What can't be stored is refused, and nothing of it is kept."""

    async def test_inbox_limit(self, client, tmp_path):
        """An inbox at its limit refuses, says when to come back, and takes events when there is room."""
        one = Storage(client, tmp_path / "spool", limit=3, spool_limit=LIMIT)
        await one.open()
        for _ in range(3):
            await one.append(envelope())
        with pytest.raises(NotStored, match="3 events") as refused:
            await one.append(envelope())
        assert refused.value.retry_after >= 1
        assert (await Inbox(client).length(), one.spooling) == (3, False)
        await client.xtrim(keys.INBOX, maxlen=2, approximate=False)
        assert await one.append(envelope()) == "inbox"
        await one.close()

    async def test_replays_count_as_one_each(self, client):
        """The mark that a replay carries takes no room of other events."""
        writer = Writer(client, limit=2)
        marks = [Mark("a").to_json(), Mark("b").to_json()]
        await writer.append([envelope(), envelope()], writer.next_group(), marks=marks)
        with pytest.raises(NotStored):
            await writer.append([envelope()], writer.next_group(), marks=marks[:1])
        assert len(await stored(client)) == 2

    async def test_full_redis(self, client, storage):
        """With maxmemory reached, events go to the spool, and to the inbox when there is room."""
        await client.config_set("maxmemory", "1")
        try:
            one = envelope()
            assert await storage.append(one) == "spool"
            with pytest.raises(NotStored, match="full"):
                await Inbox(client).ready()
        finally:
            await client.config_set("maxmemory", "0")
        await until(lambda: not storage.spooling)
        assert await stored(client) == [one.id]

    async def test_a_nearly_full_redis(self, client, storage):
        """Beyond nine tenths of maxmemory, Redis is left to those who make room: new events are spooled."""
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory", round(used / 0.95))
        try:
            await until(lambda: storage.full)
            one = envelope()
            assert await storage.append(one) == "spool"
            assert await stored(client) == []
            await client.config_set("maxmemory", used * 2)
            await until(lambda: not storage.spooling)
        finally:
            await client.config_set("maxmemory", "0")
        assert await stored(client) == [one.id]

    async def test_no_spool(self, server, mortal, tmp_path):
        """Without a spool, events are refused while Redis is away, and stored when it is back."""
        one = Storage(mortal, tmp_path / "spool", limit=0, spool_limit=0)
        await one.open()
        server.kill()
        with pytest.raises(NotStored, match="RECEIVER_SPOOL_LIMIT"):
            await one.append(envelope())
        assert not await one.can_spool()
        server.start()
        assert await one.append(envelope()) == "inbox"
        await one.close()

    async def test_full_spool(self, server, mortal, tmp_path, quick):
        """A spool at its limit refuses; what it took is stored when Redis is back."""
        one = Storage(mortal, tmp_path / "spool", limit=0, spool_limit=2**18)
        await one.open()
        server.kill()
        taken = []
        while len(taken) < 100:
            event = envelope(os.urandom(9_000))
            try:
                await one.append(event)
            except NotStored:
                break
            taken.append(event.id)
        with pytest.raises(NotStored, match="spool"):
            await one.append(event)
        assert 10 < len(taken) < 100
        server.start()
        await until(lambda: not one.spooling)
        assert await stored(mortal) == taken
        assert await one.append(envelope()) == "inbox"
        await one.close()

    async def test_no_disk(self, server, mortal, tmp_path):
        """A spool that can't be made is a refusal that says so."""
        (tmp_path / "file").write_text("")
        one = Storage(mortal, tmp_path / "file" / "spool", limit=0, spool_limit=LIMIT)
        server.kill()
        with pytest.raises(NotStored, match="spool can't be made"):
            await one.append(envelope())
        server.start()


class TestSpool:
    """Redis away, slow or frozen."""

    async def test_away_and_back(self, server, mortal, brave):
        """While Redis is away events go to the spool, and stand in order when it is back."""
        events = [envelope() for _ in range(9)]
        assert await brave.append(events[0]) == "inbox"
        server.kill()
        for one in events[1:6]:
            assert await brave.append(one) == "spool"
        count, size = await brave.spooled()
        assert (count, size > 0) == (5, True)
        server.start()
        for one in events[6:]:
            await brave.append(one)
        await until(lambda: not brave.spooling)
        assert await stored(mortal) == [one.id for one in events]
        assert await brave.append(envelope()) == "inbox"

    async def test_new_events_go_behind(self, server, mortal, brave):
        """While the spool holds anything, new events go behind it, however quickly Redis is back."""
        events = [envelope() for _ in range(3000)]
        server.kill()
        await asyncio.gather(*(brave.append(one) for one in events[:1500]))
        server.start()
        places = [await brave.append(one) for one in events[1500:]]
        await until(lambda: not brave.spooling)
        assert await stored(mortal) == [one.id for one in events]
        assert places == sorted(places, reverse=True)  # first all that went to the spool

    @pytest.mark.parametrize("events", [1, 40])
    async def test_frozen(self, server, mortal, brave, events):
        """A Redis that answers too late gets what it may have executed meanwhile once, not twice."""
        first, *rest = [envelope() for _ in range(events)]
        await brave.append(envelope(id="0"))
        os.kill(server.pid, signal.SIGSTOP)
        try:
            place = await brave.append(first)
            await asyncio.gather(*(brave.append(one) for one in rest))
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert place == "spool"
        await until(lambda: not brave.spooling)
        assert await stored(mortal) == ["0", first.id, *(one.id for one in rest)]

    async def test_lost_answer(self, mortal, brave):
        """A group whose answer was lost, though it was stored, stands once."""
        append = brave._writers._writer.append

        async def lost(envelopes, group):
            await append(envelopes, group)
            brave._writers._writer.append = append
            raise ConnectionResetError("the answer was lost")

        brave._writers._writer.append = lost
        events = [envelope() for _ in range(5)]
        places = await asyncio.gather(*(brave.append(one) for one in events))
        assert set(places) == {"spool"}
        last = envelope()
        await brave.append(last)
        await until(lambda: not brave.spooling)
        assert await stored(mortal) == [*(one.id for one in events), last.id]

    async def test_lost_answer_from_the_spool(self, server, mortal, brave):
        """The same, on the way from the spool into the inbox."""
        server.kill()
        events = [envelope() for _ in range(5)]
        await asyncio.gather(*(brave.append(one) for one in events))
        append, losses = brave._emptier._writers._writer.append, []

        async def lost(envelopes, group):
            await append(envelopes, group)
            if len(losses) < 3:
                losses.append(group)
                raise ConnectionResetError("the answer was lost")

        brave._emptier._writers._writer.append = lost
        server.start()
        await until(lambda: not brave.spooling)
        assert losses
        assert await stored(mortal) == [one.id for one in events]

    async def test_late_arrival(self, client):
        """What a writer has sent before it was fenced off is refused afterwards."""
        writer = Writer(client)
        await writer.append([envelope(id="a")], writer.next_group())
        assert await fence(client, writer.name) == 1
        with pytest.raises(Fenced):
            await writer.append([envelope(id="b")], writer.next_group())
        assert await stored(client) == ["a"]

    async def test_a_fence_is_forgotten(self, client):
        """The fence of a writer that has stored nothing is kept as long as any other, not for ever."""
        await fence(client, "nobody")
        assert REMEMBERED - 60 < await client.ttl(keys.writer("nobody")) <= REMEMBERED

    async def test_a_refusal_that_nobody_heard(self, client):
        """A group that the inbox had no room for does not count as stored when its writer is fenced off."""
        writer = Writer(client, limit=1)
        await writer.append([envelope()], writer.next_group())
        with pytest.raises(NotStored):
            await writer.append([envelope()], writer.next_group())
        assert await fence(client, writer.name) == 1

    async def test_fenced_off(self, client, storage):
        """A writer that was fenced off by another process is replaced; nobody notices."""
        events = [envelope(), envelope()]
        await storage.append(events[0])
        await fence(client, storage._writers._writer.name)
        assert await storage.append(events[1]) == "inbox"
        assert await stored(client) == [one.id for one in events]


CHILD = """
import asyncio, sys
from pathlib import Path
from receiver.pipeline.connection import connect
from receiver.pipeline.storage import Storage
from tests.pipeline.envelopes import envelope

async def main(url, folder):
    storage = Storage(connect(url, timeout=0.3), Path(folder), limit=0, spool_limit=2**24)
    await storage.open()
    number = 0
    while True:
        ids = [f"{number + n:06}" for n in range(3)]
        places = await asyncio.gather(*(storage.append(envelope(id=one)) for one in ids))
        number += 3
        print("stored", number, places[0], flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


class TestCrashes:
    """A receiver process that is killed."""

    @pytest.mark.parametrize("frozen", [False, True], ids=["away", "frozen"])
    async def test_kill(self, server, mortal, tmp_path, quick, frozen):
        """What a killed process had answered for is stored by the next one, in order, nothing of it twice."""
        arguments = [sys.executable, "-c", CHILD, server.url, str(tmp_path / "spool")]
        told, spooled = 0, 0
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
            for line in child.stdout:
                if not line.startswith("stored "):
                    continue  # what it logs
                _, number, place = line.split()
                told, spooled = int(number), spooled + (place == "spool")
                if told == 60 and frozen:
                    os.kill(server.pid, signal.SIGSTOP)
                elif told == 60:
                    server.kill()
                if spooled == 10:
                    break
            os.kill(child.pid, signal.SIGKILL)
        if frozen:
            os.kill(server.pid, signal.SIGCONT)
        else:
            server.start()
        heir = Storage(mortal, tmp_path / "spool", limit=0, spool_limit=LIMIT)
        await heir.open()
        last = envelope(id="last")
        await heir.append(last)
        await until(lambda: not heir.spooling)
        await heir.close()
        *found, newest = await stored(mortal)
        assert newest == "last"
        assert found == [f"{n:06}" for n in range(len(found))]
        assert len(found) >= told

    async def test_kill_on_the_way_back(self, client, tmp_path, quick):
        """A process that dies between the append and its note of it leaves nothing to be stored twice."""
        folder = tmp_path / "spool"
        dead = Storage(client, folder, limit=0, spool_limit=LIMIT)
        await dead._put_aside([envelope(id=str(n)) for n in range(4)])

        def die(*_):
            raise RuntimeError("died")

        dead._spool.remove = die
        with pytest.raises(RuntimeError, match="died"):
            await dead._emptier._empty(dead._spool)
        await dead.close()
        assert len(await stored(client)) == 4
        heir = Storage(client, folder, limit=0, spool_limit=LIMIT)
        await heir.open()
        await until(lambda: not heir.spooling)
        await heir.close()
        assert await stored(client) == ["0", "1", "2", "3"]

    async def test_siblings(self, server, tmp_path, quick):
        """Of two processes on one spool, the order is that of acceptance, whichever took an event."""
        clients = [connect(server.url, timeout=0.3) for _ in range(2)]
        pair = [Storage(one, tmp_path / "spool", limit=0, spool_limit=LIMIT) for one in clients]
        for one in pair:
            await one.open()
        events = [envelope(id=f"{n:04}") for n in range(400)]
        for number, (event, one) in enumerate(zip(events, pair * 200, strict=True)):
            if number == 50:
                server.kill()
            if number == 150:
                server.start()
            await one.append(event)
        await until(lambda: not pair[0].spooling)
        assert await stored(clients[0]) == [one.id for one in events]
        for one, client in zip(pair, clients, strict=True):
            await one.close()
            await client.aclose()
