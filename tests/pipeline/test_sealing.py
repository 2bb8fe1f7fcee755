"""The road with encrypted bodies: nothing readable lies anywhere, and everything else is as without."""

from __future__ import annotations

import base64
import sqlite3

import pytest
from structlog.testing import capture_logs

from receiver.cipher import Keyring, is_sealed, sealed_with
from receiver.embedded import EmbeddedRedis
from receiver.errors import SendbirdRefused
from receiver.intake import new_id
from receiver.pipeline import dead_letters, key_use, keys
from receiver.pipeline import storage as storage_module
from receiver.pipeline.connection import connect
from receiver.pipeline.dead_letters import Wanted
from receiver.pipeline.feeder import Feeder
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.replay import UNREADABLE, End, Selection, Wish
from receiver.pipeline.routes import published
from receiver.pipeline.runtime import Runtime
from receiver.pipeline.spool import Spool
from receiver.pipeline.storage import Storage
from tests.pipeline.collecting import Collecting, let_time_pass
from tests.pipeline.conftest import Road
from tests.pipeline.envelopes import envelope
from tests.pipeline.test_storage import until
from tests.support import make_settings

OLD, NEW = Keyring([bytes(32)]), Keyring([bytes(range(32))])
BOTH = Keyring([bytes(range(32)), bytes(32)])
WORDS = "my secret words"
LIMIT = 2**24


@pytest.fixture
def road(client, blocking):
    client.keyring = OLD
    road = Road(client, blocking)
    road.seen, road.bad = [], set()

    async def every(event, context):
        road.seen.append(("every", event.raw["n"], event.raw["text"], event.replay_of is not None))
        if event.raw["n"] in road.bad:
            raise SendbirdRefused("no")

    async def files(event, context):
        road.seen.append(("files", event.raw["n"]))

    road.handlers.on("*", name="every")(every)
    road.handlers.on("*", type="FILE", name="files")(files)
    return road


async def send(road, n, kind="MESG", **more):
    return await road.append(f"c{n}", n=n, type=kind, text=f"{WORDS} {n}", **more)


async def work(road):
    await road.dispatch()
    while lanes := await road.lanes():
        for lane in lanes:
            await let_time_pass(road, lane)
            await road.drain_lane(lane)


async def leave_the_inbox(road):
    """Have everything finished trimmed. (The last event stays, for the cursor.)"""
    await send(road, 99)
    await work(road)
    await Housekeeper(road.client, -1).trim()
    assert await road.inbox.length() == 1


async def with_keys(road, keyring):
    """Go on with other keys, as after a restart."""
    road.client.keyring = keyring
    road.dispatcher = road.another_dispatcher()
    await road.client.delete(keys.LEASE)


async def places(client, words):
    """Return the keys in Redis whose values, or names, hold `words`, however they are kept."""
    await client.config_set("rdbcompression", "no")  # what is packed can't be searched
    try:
        names = [name async for name in client.scan_iter()]
        return [name for name in names if words.encode() in name + await client.dump(name)]
    finally:
        await client.config_set("rdbcompression", "yes")


async def replay(road, event_id):
    """Replay one event; return its new id, and what was left out."""
    selection = Selection(
        road.client, Wish(ids=(event_id,)), published(road.blocking), await End.now(road.client)
    )
    renewed = [one.renewed(new_id(2)) async for one in selection]
    for one, mark in renewed:
        await Feeder(road.client, limit=0).append([one], [mark])
    return [one.id for one, _ in renewed], dict(selection.skipped)


class TestTheRoad:
    """What the road does with keys."""

    async def test_everything(self, road):
        """Events are filtered, handled, replayed and buried, and none of their words lie in Redis."""
        road.bad = {2}
        one, two, three = await send(road, 1), await send(road, 2), await send(road, 3, "FILE")
        assert await places(road.client, WORDS) == []
        await work(road)
        [again], skipped = await replay(road, one)
        await work(road)
        assert skipped == {}
        assert sorted(road.seen) == [
            *(("every", n, f"{WORDS} {n}", False) for n in (1,)),
            ("every", 1, f"{WORDS} 1", True),
            *(("every", n, f"{WORDS} {n}", False) for n in (2, 3)),
            ("files", 3),
        ]
        assert (await road.delivery(again)).status == (await road.delivery(one)).status == "done"
        assert (await road.delivery(two)).status == "dead"
        assert [found.handler for found in (await road.history(three)).deliveries] == [
            "test.every",
            "test.files",
        ]
        assert await places(road.client, WORDS) == []
        assert await key_use.count(road.client) == {OLD.ids[0]: 5}  # four events, and a letter

    async def test_the_search_finds(self, road):
        """Without keys the same search finds the words: in the inbox, and in a letter."""
        await with_keys(road, Keyring())
        road.bad = {1}
        await send(road, 1)
        await work(road)
        found = await places(road.client, WORDS)
        assert [name.startswith(b"receiver:letter:") for name in sorted(found)] == [False, True]
        assert await key_use.count(road.client) == {"": 2}

    async def test_a_letter(self, road):
        """A dead letter that has left the inbox is read, and retried."""
        road.bad = {1}
        await send(road, 1)
        await work(road)
        await leave_the_inbox(road)
        road.bad.clear()
        found = [one async for one in dead_letters.find(road.client, Wanted())]
        assert WORDS.encode() in found[0].envelope.body
        assert await dead_letters.retry(road.client, road.blocking, found) == 1
        await work(road)
        assert [one for one in road.seen if one[1] == 1] == [("every", 1, f"{WORDS} 1", False)] * 2

    async def test_batches(self, client, blocking):
        """Batches are closed, and read with their events; so are the copies that a dead one keeps."""
        client.keyring = OLD
        road = Road(client, blocking)
        plugin = Collecting(road, retries=0)
        plugin.fail = {"ada": 1}
        for n in range(2):
            await plugin.send(n, "ada", text=WORDS)
        await plugin.digest()
        assert plugin.begun[0][:2] == ("ada", [0, 1])
        assert "" not in await key_use.count(client)  # a batch has nothing to hide
        await plugin.send("last")
        await plugin.finish()
        await Housekeeper(client, -1).trim()
        assert await road.inbox.length() == 1
        assert await places(client, WORDS) == []
        assert (await key_use.count(client))[OLD.ids[0]] == 3  # the last event, and two copies
        await dead_letters.retry(client, blocking, [one async for one in dead_letters.find(client, Wanted())])
        await plugin.finish()
        assert plugin.batches == [("ada", [0, 1])]


class TestRotation:
    """Keys that come, and go."""

    async def test_on_a_running_store(self, road):
        """What was stored without a key, with the old one and with the new one is handled alike."""
        await with_keys(road, Keyring())
        await send(road, 1)
        await with_keys(road, OLD)
        await send(road, 2)
        await with_keys(road, BOTH)
        await send(road, 3, "FILE")
        assert await key_use.count(road.client) == {"": 1, OLD.ids[0]: 1, NEW.ids[0]: 1}
        await work(road)
        assert [one[1] for one in road.seen if one[0] == "every"] == [1, 2, 3]
        assert ("files", 3) in road.seen

    async def test_a_key_that_went_too_early(self, road):
        """An event whose key is gone is tried again, at length, becomes a letter that says so, and is
        handled, by those alone that want it, when the key is back.
        """
        lost = await send(road, 1)
        await with_keys(road, NEW)
        with capture_logs() as told:
            await road.dispatch()
        assert [one["error"].count(OLD.ids[0]) for one in told if "can't be read" in one["event"]] == [1]
        after = await send(road, 2)
        await road.dispatch()
        now = await road.client.time()
        await road.drain()
        assert [one[1] for one in road.seen] == [2]
        for one in (await road.history(lost)).deliveries:
            [attempt] = one.attempts
            assert (one.status, OLD.ids[0] in attempt.error) == ("retrying", True)
        waits = [
            due / 1000 - now[0]
            for lane in await road.lanes()
            for _, due in await road.client.zrange(keys.lane(lane, "held"), 0, -1, withscores=True)
        ]
        assert len(waits) == 2
        assert all(wait > 50 for wait in waits)
        await work(road)
        found = [one async for one in dead_letters.find(road.client, Wanted(error="MissingKey"))]
        assert [one.handler for one in found] == ["test.every", "test.files"]
        assert [len(one.delivery.attempts) for one in found] == [6, 6]
        assert is_sealed(found[0].envelope.body)

        await leave_the_inbox(road)
        await with_keys(road, BOTH)
        assert await dead_letters.retry(road.client, road.blocking, found) == 2
        await work(road)
        assert [one for one in road.seen if one[1] == 1] == [("every", 1, f"{WORDS} 1", False)]
        assert after != lost

    async def test_the_dispatcher_alone_lacks_it(self, road):
        """What a dispatcher couldn't read is left out by the worker, where it isn't wanted."""
        event = await send(road, 1)
        await with_keys(road, NEW)
        await road.dispatch()
        assert len(await road.lanes()) == 2
        road.client.keyring = BOTH
        await road.drain()
        assert [one[0] for one in road.seen] == ["every"]
        assert [(one.handler, one.status) for one in (await road.history(event)).deliveries] == [
            ("test.every", "done")
        ]
        assert int(await road.client.hget(keys.STATS, "skipped test.files")) == 1

    async def test_histories_without_the_key(self, road):
        """Who can't read a body is told how its deliveries ended, and of none that may never have been."""
        event = await send(road, 1, "FILE")
        await road.dispatch()
        road.client.keyring = Keyring()
        told = await road.history(event)
        assert [(one.handler, one.status) for one in told.deliveries] == [("test.every", "waiting")]
        road.client.keyring = OLD
        await road.drain()
        road.client.keyring = Keyring()
        told = await road.history(event)
        assert [(one.handler, one.status) for one in told.deliveries] == [
            ("test.every", "done"),
            ("test.files", "done"),
        ]

    async def test_replay_without_the_key(self, road):
        """What can't be read isn't replayed: under a new id nobody could ever read it."""
        event = await send(road, 1)
        await work(road)
        await with_keys(road, NEW)
        assert await replay(road, event) == ([], {UNREADABLE: 1})

    async def test_a_batch_without_the_key(self, client, blocking):
        """A batch with an event whose key is gone waits for it."""
        client.keyring = OLD
        road = Road(client, blocking)
        plugin = Collecting(road)
        await plugin.send(1, "ada")
        client.keyring = NEW
        await plugin.digest()
        assert plugin.begun == []
        [found] = (await plugin.of("ada")).deliveries
        assert (found.status, "MissingKey" in found.attempts[0].error) == ("retrying", True)
        client.keyring = BOTH
        await plugin.finish()
        assert plugin.batches == [("ada", [1])]


async def test_a_swapped_body(road):
    """A body that was put in another event's place is a letter at once, that says so."""
    one = await send(road, 1)
    entry, _ = await road.inbox.find(one)
    [(_, fields)] = await road.client.xrange(keys.INBOX, entry, entry)
    other = new_id(1)
    await road.client.xadd(keys.INBOX, fields | {b"id": other.encode()})
    await work(road)
    [found] = [found async for found in dead_letters.find(road.client, Wanted(ids=frozenset([other])))][:1]
    assert len(found.delivery.attempts) == 1
    assert "isn't the one that was stored" in found.error
    assert {event[1] for event in road.seen} == {1}
    assert len([event for event in road.seen if event[0] == "every"]) == 1


class TestTheSpool:
    """Bodies on local disk."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(storage_module, "RETRY", 0.01)

    async def test_on_disk(self, tmp_path):
        """Words that are spooled lie in none of the spool's files; they are sealed once, and handled."""
        with EmbeddedRedis(tmp_path / "redis", fsync="no") as server:
            client = connect(server.url, timeout=0.3, keyring=OLD)
            one = Storage(client, tmp_path / "spool", limit=0, spool_limit=LIMIT)
            await one.open()
            server.kill()
            event = envelope(f'{{"text":"{WORDS}"}}'.encode())
            assert await one.append(event) == "spool"
            found = {path.name: path.read_bytes() for path in (tmp_path / "spool").iterdir()}
            assert {"events.spool", "events.spool-wal"} <= set(found)
            assert any(event.id.encode() in content for content in found.values())
            assert not any(WORDS.encode() in content for content in found.values())
            assert key_use.spooled(tmp_path / "spool") == {OLD.ids[0]: 1}
            server.start()
            await until(lambda: not one.spooling)
            road = Road(client, None)
            assert [stored.body for _, stored in await road.inbox.latest(10)] == [event.body]
            await one.close()
            await client.aclose()

    async def test_what_was_spooled_before(self, client, tmp_path):
        """What was spooled without keys is sealed on its way into the inbox; the rest keeps its key."""
        plain, old = envelope(b'{"n": 1}'), envelope(b'{"n": 2}')
        spool = Spool(tmp_path / "spool", limit=LIMIT)
        spool.add([plain, old._replace(body=OLD.seal(old.body, old.id))])
        spool.close()
        assert key_use.spooled(tmp_path / "spool") == {"": 1, OLD.ids[0]: 1}
        client.keyring = NEW
        one = Storage(client, tmp_path / "spool", limit=0, spool_limit=LIMIT)
        await one.open()
        await until(lambda: not one.spooling)
        await one.close()
        stored = await client.xrange(keys.INBOX)
        assert [sealed_with(fields[b"body"]) for _, fields in stored] == [NEW.ids[0], OLD.ids[0]]

    def test_no_spool(self, tmp_path):
        """Where there is no spool, nothing is in it; one that can't be read is an error."""
        assert key_use.spooled(tmp_path) == {}
        (tmp_path / "events.spool").write_bytes(b"nonsense" * 1000)
        with pytest.raises(sqlite3.Error):
            key_use.spooled(tmp_path)


def test_a_worker(redis_url):
    """A worker's clients have the keys: that of its lanes, and that of its attempts."""
    config = make_settings(redis_url, encryption_keys=base64.b64encode(bytes(32)).decode())
    here = Runtime(config, {})
    try:
        assert here.client.keyring.ids == here._lanes.keyring.ids == OLD.ids
    finally:
        here.finish()
