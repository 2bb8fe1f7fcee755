"""The course of a removal: repeated, broken off, alone, and what is told of it."""

from __future__ import annotations

import pytest

from receiver.errors import ReceiverError
from receiver.mail.unsubscribe import OptOuts, Subscription
from receiver.pipeline import keys
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.removal import Removal
from receiver.pipeline.spool import Spool
from tests.pipeline.envelopes import envelope
from tests.pipeline.purge.purging import ANN, BOB, LIMIT, bodies, everything, remove, run


async def test_others_are_untouched(handled, purge, client):
    """Of anybody else, everything in Redis stays byte for byte."""
    await handled.append("c1", remember="x", **BOB)
    await handled.append("c2", identity="i", refuse="never", **BOB)
    await handled.append("c3", later=True, once="x", **BOB)
    await run(handled)
    await OptOuts(client).add(Subscription("digest", "bob"))
    before = await everything(client)
    await handled.append("c4", refuse="never", identity="j", remember="y", **ANN)
    await handled.append("ann", later=True)
    await run(handled)
    counted = (b"receiver:stats", b"receiver:cursor", keys.INBOX.encode(), keys.FINISHED.encode())
    assert set(await everything(client)) != set(before)
    kept = [one for one in await handled.inbox.latest(100) if one[1].conversation not in ("c4", "ann")]
    await remove(purge())
    await handled.drain()
    after = await everything(client)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} <= set(counted)
    assert await handled.inbox.latest(100) == kept


async def test_it_can_be_repeated(handled, purge, client):
    """A second purge finds nothing, and changes nothing."""
    await handled.append(refuse="ann", **ANN)
    await handled.append(**BOB)
    await run(handled)
    await remove(purge())
    before = await everything(client)
    found, removed, left = await remove(purge())
    assert (+found, +removed, left) == ({}, {}, {})
    assert await everything(client) == before


async def test_it_can_be_broken_off(handled, purge, client, monkeypatch):
    """What one that ends in its midst has left undone, the next one does; and nobody is locked out."""
    drop, calls = Removal._drop, []

    async def fail(self, events):
        calls.append(events)
        if len(calls) == 2:
            raise KeyboardInterrupt
        await drop(self, events)

    monkeypatch.setattr("receiver.pipeline.removal.AT_ONCE", 1)
    monkeypatch.setattr(Removal, "_drop", fail)
    await client.config_set("rdbcompression", "no")
    for n in range(3):
        await handled.append(n=n, message="secret words", **ANN)
        await handled.append(**BOB)
    await run(handled)
    found = await purge().look()
    with pytest.raises(KeyboardInterrupt):
        await purge().remove(found)
    assert await handled.inbox.length() == 5
    assert (await remove(purge()))[2] == {}
    assert await handled.inbox.length() == 3
    assert b"secret words" not in await client.dump(keys.INBOX)


async def test_what_comes_later_is_new(handled, purge):
    """An event that comes after the count is left, and is no failure."""
    await handled.append(**ANN)
    found = await purge().look()
    await handled.append(**ANN)
    done = await purge().remove(found)
    assert (done.removed["inbox"], done.after.left) == (1, {})
    assert len(await bodies(handled)) == 1


async def test_one_at_a_time(purge, client):
    """While a purge runs, another one is refused; one that lost its turn ends."""
    await client.set(keys.PURGING, "other")
    with pytest.raises(ReceiverError, match="another purge runs"):
        await purge().remove(await purge().look())


async def test_what_cannot_be_read_is_told(handled, purge, client):
    """An entry that is none of ours counts as unreadable, or goes where it has the id."""
    await client.xadd(keys.INBOX, {"x": "y"})
    await client.xadd(keys.INBOX, {"x": "ann"})
    found = await purge().look()
    assert (found.tally.unreadable, found.tally.found["inbox"]) == (1, 1)


async def test_a_body_that_is_no_json_is_told(handled, purge, client, tmp_path):
    """A body that nobody can read, in the inbox, a letter or the spool, counts as unreadable."""
    spool = Spool(tmp_path, limit=LIMIT)
    spool.add([envelope(b"\x00sealed")])
    await handled.storage.append(envelope(b"\x00sealed"))
    await client.hset(
        keys.letter("1-0"), mapping=dict(zip(keys.FIELDS, envelope(b"\x00sealed"), strict=False))
    )
    found = await purge().look()
    assert (found.tally.unreadable, found.left) == (3, {})
    spool.close()


@pytest.mark.parametrize("kind", ["string", "hash", "list", "set", "zset", "stream", "name"])
async def test_unknown_keys_are_told(purge, client, kind):
    """A key that this version doesn't know is searched, and told as left."""
    text, name = '{"who":"ann"}', "receiver:strange"
    await {
        "string": lambda: client.set(name, text),
        "hash": lambda: client.hset(name, "x", text),
        "list": lambda: client.rpush(name, text),
        "set": lambda: client.sadd(name, text),
        "zset": lambda: client.zadd(name, {text: 1}),
        "stream": lambda: client.xadd(name, {"x": text}),
        "name": lambda: client.set("receiver:strange:ann", "x"),
    }[kind]()
    await client.set("receiver:other", "joanna")
    assert (await remove(purge()))[2] == {"unknown keys": 1}


async def test_marks_of_the_purged_go(handled, purge, client):
    """That an entry was purged is forgotten when no lane can hold it any more."""
    await handled.append(later=True, **BOB)
    await handled.append("c2", **ANN)
    await run(handled)
    await remove(purge())
    await Housekeeper(client, -1).trim()
    assert await client.zcard(keys.PURGED) == 1
    for lane in await handled.lanes():
        await client.delete(keys.lane(lane, "held"), keys.LANES)
    await handled.append()
    await run(handled)
    await Housekeeper(client, -1).trim()
    assert await client.zcard(keys.PURGED) == 0
