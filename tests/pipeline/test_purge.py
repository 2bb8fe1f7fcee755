"""Removing a person's data: all of it goes, from every place, and nothing of anybody else's."""

from __future__ import annotations

import asyncio

import pytest

from receiver.cipher import Keyring
from receiver.errors import ReceiverError, SendbirdRefused
from receiver.events.person import Person
from receiver.mail.unsubscribe import OptOuts, Subscription
from receiver.pipeline import dead_letters, keys
from receiver.pipeline.connection import connect
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.purge import Options, Purge
from receiver.pipeline.removal import Removal
from receiver.pipeline.sealing import sealed
from receiver.pipeline.spool import Spool
from tests.pipeline.collecting import Collecting
from tests.pipeline.conftest import Road
from tests.pipeline.envelopes import envelope

ANN, BOB = {"sender": {"user_id": "ann"}}, {"sender": {"user_id": "bob"}}
LIMIT = 2**24


@pytest.fixture
def purge(client, tmp_path):
    """Make a purge of ann."""

    def made(**options):
        return Purge(
            client,
            Person("ann"),
            tmp_path,
            spool_limit=LIMIT,
            tell=lambda *_: None,
            options=Options(**options),
        )

    return made


@pytest.fixture
def handled(road):
    """A road whose handler does what the body says, `attempts` being the ids that it was given."""
    road.given = []

    async def handler(event, context):
        road.given.append(event.id)
        if "remember" in event.raw:
            (await context.state())["last"] = event.raw["remember"]
        if "once" in event.raw:
            async with context.once(event.raw["once"]):
                pass
        if event.raw.get("wait"):
            await road.gate.wait()
        if "refuse" in event.raw:
            raise SendbirdRefused(event.raw["refuse"])
        if event.raw.get("later"):
            context.retry_after(3600)

    road.gate = asyncio.Event()
    road.handlers.on("*", name="h")(handler)
    return road


async def run(road):
    await road.dispatch()
    await road.drain()


async def remove(purge):
    """Remove what there is; return what was found before, what went, what is left."""
    found = await purge.look()
    done = await purge.remove(found)
    return found.tally.found, done.removed, done.after.left


async def everything(client, *but):
    """Return all that is in Redis, byte for byte, but for some keys and what only counts."""
    passing = {b"receiver:dispatcher", b"receiver:purged", *but}
    names = [
        name for name in await client.keys("receiver:*") if name not in passing and b":writer:" not in name
    ]
    return {name: await client.dump(name) for name in names}


async def bodies(road):
    return [one.body for _, one in await road.inbox.latest(100)]


@pytest.mark.parametrize(
    "body",
    [
        ANN,
        {"members": [{"user_id": "bob"}, {"user_id": "ann"}]},
        {"payload": {"data": '{"users": ["ann"]}'}},
        {"read_updates": [{"user_id": "ann", "read_ts": 1}]},
    ],
    ids=["sender", "member", "json in a string", "reader"],
)
async def test_finished_events_go(handled, purge, client, body):
    """An event that names the person leaves the inbox; others stay as they are."""
    for one in (BOB, body, {"message": "joanna"}):
        await handled.append(**one)
    await run(handled)
    found, removed, left = await remove(purge())
    assert (found["inbox"], removed["inbox"], left) == (1, 1, {})
    assert len(await bodies(handled)) == 2
    assert not any(b'"ann"' in one for one in await bodies(handled))


async def test_a_conversation_of_the_person_goes(handled, purge):
    """An event whose conversation is the person goes, whatever its body says."""
    await handled.append("ann")
    assert (await remove(purge()))[1]["inbox"] == 1
    assert await bodies(handled) == []


async def test_no_byte_is_left(handled, purge, client):
    """What is deleted from the midst of a stream stays in its memory: the inbox is rewritten."""
    await client.config_set("rdbcompression", "no")
    for n in range(7):
        await handled.append(n=n, message="secret words" if n == 3 else "hello", **(ANN if n == 3 else BOB))
    await run(handled)
    before, told = await handled.inbox.latest(100), await client.xinfo_stream(keys.INBOX)
    assert b"secret words" in await client.dump(keys.INBOX)
    plain = purge(rewrite=False)
    done = await plain.remove(await plain.look())
    assert not done.rewritten.inbox_is_clean
    assert b"secret words" in await client.dump(keys.INBOX)
    done = await purge().remove(await purge().look())
    assert done.rewritten.inbox_is_clean
    assert b"secret words" not in await client.dump(keys.INBOX)
    assert await handled.inbox.latest(100) == [one for one in before if b'"ann"' not in one[1].body]
    assert (await client.xinfo_stream(keys.INBOX))["last-generated-id"] == told["last-generated-id"]
    assert not await client.exists(keys.COPY, keys.MARRED, keys.PURGING)
    await handled.append(**BOB)
    await run(handled)
    assert len(handled.given) == 8


async def test_the_newest_event_goes(handled, purge, client):
    """Where the newest event goes, what comes later is still behind what was dispatched."""
    await handled.append(**BOB)
    await handled.append(**ANN)
    await run(handled)
    last = (await client.xinfo_stream(keys.INBOX))["last-generated-id"]
    await remove(purge())
    assert (await client.xinfo_stream(keys.INBOX))["last-generated-id"] == last
    again = await handled.append(**BOB)
    await run(handled)
    assert handled.given[-1] == again


async def test_an_identity_goes(handled, purge, client):
    """The digest by which a repeat is known goes with its event; that of others stays."""
    await handled.append(identity="one", **ANN)
    await handled.append(identity="one", **ANN)
    await handled.append(identity="two", **BOB)
    await run(handled)
    found, removed, _ = await remove(purge())
    assert (found["inbox"], found["dedupe digests"], removed["dedupe digests"]) == (2, 1, 1)
    left = [await client.hkeys(name) for name in await client.keys("receiver:seen:*")]
    assert [name for some in left for name in some] == [b"two"]
    await handled.append(identity="two", **BOB)
    await run(handled)
    assert len(handled.given) == 2


@pytest.mark.parametrize("trimmed", [False, True])
async def test_dead_letters_go(handled, purge, client, trimmed):
    """A dead letter goes with its copy and its history, whether its event is still in the inbox or not."""
    await handled.append(refuse="never", **ANN)
    await handled.append(refuse="never", **BOB)
    await handled.append()
    await run(handled)
    if trimmed:
        assert await Housekeeper(client, -1).trim() == 2
    found, _, left = await remove(purge())
    assert (found["dead letters"], left) == (1, {})
    [name] = await client.zrange(keys.DEAD, 0, -1)
    entry = name.decode().split(" ")[0]
    assert await client.keys("receiver:letter:*") == [keys.letter(entry).encode()]
    assert await client.keys("receiver:event:*") == [keys.event(entry).encode()]


async def test_a_revived_letter_goes(handled, purge, client):
    """A letter that is tried again goes, and its delivery ends as purged."""
    await handled.append(refuse="never", **ANN)
    await handled.append()
    await run(handled)
    await Housekeeper(client, -1).trim()
    letters = [one async for one in dead_letters.find(client, dead_letters.Wanted())]
    await dead_letters.retry(client, handled.blocking, letters)
    assert await client.zcard(keys.REVIVED) == 1
    found = await purge().look()
    assert len(found.waiting) == 1
    await purge().remove(found)
    await handled.drain()
    assert await client.hget(keys.STATS, "purged test.h") == b"1"
    assert await client.keys("receiver:letter:*") + await client.keys("receiver:event:*") == []
    assert not await client.exists(keys.DEAD, keys.REVIVED)


@pytest.mark.parametrize("where", ["undispatched", "queue", "parked", "taken"])
async def test_what_waits_is_never_delivered(handled, purge, client, where):
    """An event that waits is passed over and counted as purged; those behind it in its conversation go on."""
    await handled.append("c1", n=1, later=where == "parked", **ANN)
    await handled.append("c1", n=2, **BOB)
    if where != "undispatched":
        await handled.dispatch()
    if where == "parked":
        await handled.drain()
    if where == "taken":
        [lane] = await handled.lanes()
        drain = handled.drain_of(lane)
        await drain._lane.begin()
        await drain._lane.turn([], want=10, share=10, enough=[])
        await client.delete(keys.lane(lane, "owner"))  # it dies
    found = await purge().look()
    assert len(found.waiting) == 1
    await purge().remove(found)
    handled.given.clear()
    await handled.dispatch()
    for lane in await handled.lanes():
        held = await client.zrange(keys.lane(lane, "held"), 0, -1)
        if held:
            await client.zadd(keys.lane(lane, "held"), dict.fromkeys(held, 1))
    await handled.drain()
    await handled.drain()
    assert len(handled.given) == 1
    assert await handled.lanes() == []
    assert await client.exists(keys.DEAD) == 0
    if where != "undispatched":
        assert await client.hget(keys.STATS, "purged test.h") == b"1"
    assert len(await client.keys("receiver:event:*")) <= (where == "taken")  # of bob's: it was cut off


async def test_what_the_dispatcher_has_read_goes_nowhere(handled, purge, client, monkeypatch):
    """An event that is purged after the dispatcher has read it gets into no lane, and leaves no digest."""
    read = client.xread

    async def read_and_remove(*arguments, **options):
        found = await read(*arguments, **options)
        monkeypatch.undo()
        await remove(purge())
        return found

    await handled.append(identity="one", **ANN)
    kept = await handled.append(identity="two", **BOB)
    assert await handled.lead()
    monkeypatch.setattr(client, "xread", read_and_remove)
    assert await handled.dispatcher.dispatch_once() == 2
    await handled.drain()
    assert handled.given == [kept]
    left = [await client.hkeys(name) for name in await client.keys("receiver:seen:*")]
    assert [name for some in left for name in some] == [b"two"]
    assert await client.hget(keys.STATS, "purged test.h") is None  # it was in no lane


@pytest.mark.parametrize("end", ["done", "refused", "later"])
async def test_an_attempt_that_runs_meanwhile(handled, purge, client, end):
    """However an attempt ends whose event is purged meanwhile, it leaves nothing; the next event goes on."""
    what = {"done": {}, "refused": {"refuse": "never"}, "later": {"later": True}}[end]
    await handled.append("c1", wait=True, once="ann", remember="ann", **what, **ANN)
    await handled.append("c1", **BOB)
    await handled.dispatch()
    draining = asyncio.create_task(handled.drain())
    while not handled.given:
        await asyncio.sleep(0)
    _, removed, left = await remove(purge())
    assert (removed["inbox"], left) == (1, {})
    handled.gate.set()
    await draining
    for lane in await handled.lanes():
        await handled.drain_lane(lane)
    assert len(handled.given) == 2
    assert await handled.lanes() == []
    names = await client.keys("receiver:*")
    assert not [
        name
        for name in names
        if name.startswith((b"receiver:event:", b"receiver:state:", b"receiver:letter:"))
    ]
    assert not await client.exists(keys.DEAD)
    assert (await purge().look()).left == {}


async def test_waiting_events_can_be_kept(handled, purge):
    """With `keep_waiting` what waits is delivered, and goes the next time."""
    await handled.append(**ANN)
    await run(handled)
    await handled.append(**ANN)
    await handled.dispatch()
    keeping = purge(keep_waiting=True)
    found = await keeping.look()
    done = await keeping.remove(found)
    assert (found.tally.found["inbox"], done.removed["inbox"], done.after.tally.kept["inbox"]) == (2, 1, 1)
    await handled.drain()
    assert len(handled.given) == 2
    assert (await remove(keeping))[1]["inbox"] == 1
    assert await bodies(handled) == []


async def test_states_go(handled, purge, client):
    """What a handler remembers goes where the conversation is the person, or the state names them."""
    await handled.append("ann", remember="x")
    await handled.append("c1", remember="ann")
    await handled.append("c2", remember="bob")
    await run(handled)
    found, removed, left = await remove(purge())
    assert (found["states of handlers"], removed["states of handlers"], left) == (2, 2, {})
    assert await client.keys("receiver:state:*") == [b"receiver:state:test.h:c2"]


async def test_histories_of_others_are_redacted(handled, purge, client):
    """Where a handler has named the person in an error or an effect, the name goes and the attempt stays."""
    event_id = await handled.append(refuse="no address of ann", once="mail ann", **BOB)
    await run(handled)
    found, removed, left = await remove(purge())
    assert (found["histories of other events"], removed["histories of other events"], left) == (2, 2, {})
    [delivery] = (await handled.history(event_id)).deliveries
    assert delivery.status == "dead"
    assert "no address of (removed)" in delivery.attempts[0].error
    entry, _ = await handled.inbox.find(event_id)
    assert not any(b"once" in name for name in await client.hkeys(keys.event(entry)))


async def test_an_effect_of_what_still_runs_stays_and_is_told(handled, purge):
    """What happened once is not forgotten before the delivery has ended: it would happen again."""
    await handled.append(once="mail ann", later=True, **BOB)
    await run(handled)
    _, removed, left = await remove(purge())
    assert (removed["histories of other events"], left) == (0, {"histories of other events": 1})


async def test_opt_outs(purge, client):
    """That somebody wants no mails is their wish, and stays unless it is asked for."""
    opt_outs = OptOuts(client)
    for user in ("ann", "bob"):
        await opt_outs.add(Subscription("digest", user))
    assert (await remove(purge()))[2] == {}
    assert await opt_outs.contains(Subscription("digest", "ann"))
    assert (await remove(purge(opt_outs=True)))[1]["opt-outs"] == 1
    assert not await opt_outs.contains(Subscription("digest", "ann"))
    assert await opt_outs.contains(Subscription("digest", "bob"))


class TestCollects:
    """What is gathered for the person, and what others get of the person."""

    @pytest.mark.parametrize("closed", [False, True])
    async def test_what_is_gathered_for_the_person_goes(self, road, purge, client, closed):
        """A batch under the person's id is never made or, where it waits for a retry, never tried again."""
        plugin = Collecting(road)
        plugin.fail = {"ann": 5}
        await plugin.send(1, "ann", "bob")
        if closed:
            await plugin.digest()
        _, _, left = await remove(purge())
        assert left == {}
        await plugin.finish()
        assert "ann" not in [key for key, _ in plugin.batches]
        assert await client.keys("receiver:*:ann*") == []
        assert await plugin.left() == []

    async def test_others_batches_go_without_the_person(self, road, purge):
        """A batch of somebody else has its other events; one that has none left is skipped."""
        plugin = Collecting(road)
        await plugin.send(1, "mixed", "only", **ANN)
        await plugin.send(2, "mixed", **BOB)
        await remove(purge())
        await plugin.finish()
        assert plugin.batches == [("mixed", [2])]
        assert (await plugin.of("only")).deliveries[0].status == "skipped"

    async def test_copies_in_dead_batches_go(self, road, purge, client):
        """A dead batch keeps copies of its events: the person's go, and the letter with the last of them."""
        await client.config_set("rdbcompression", "no")
        plugin = Collecting(road, retries=0)
        plugin.fail = {"mixed": 1, "only": 1}
        await plugin.send(1, "mixed", "only", **ANN)
        await plugin.send(2, "mixed", **BOB)
        await plugin.digest()
        assert len(await client.keys("receiver:batch:*")) == 2
        found, removed, left = await remove(purge())
        assert (found["copies in dead batches"], removed["copies in dead batches"], left) == (2, 2, {})
        [name] = await client.keys("receiver:batch:*")
        assert await client.xlen(name) == 1
        assert b'"ann"' not in await client.dump(name)
        assert len(await client.keys("receiver:letter:*")) == await client.zcard(keys.DEAD) == 1


class TestSpool:
    """The spool's rows, and the bytes of its files."""

    async def test_rows_go(self, purge, tmp_path):
        """Of the spool, the person's events go, from wherever they stand, and the rest keeps its order."""
        spool = Spool(tmp_path, limit=LIMIT)
        events = [envelope(b'{"x":"%s"}' % (b"ann" if n % 3 else b"bob")) for n in range(30)]
        spool.add(events)
        found, removed, left = await remove(purge())
        assert (found["spool"], removed["spool"], left) == (20, 20, {})
        assert [one.envelope for one in spool.first(100, LIMIT)] == events[::3]
        for file in tmp_path.glob("events.spool*"):
            assert b"ann" not in file.read_bytes()
        spool.close()

    async def test_the_last_row_goes(self, purge, tmp_path):
        """A spool that is empty then holds nothing up."""
        spool = Spool(tmp_path, limit=LIMIT)
        spool.add([envelope(b'"ann"')])
        await remove(purge())
        assert (spool.holds, spool.count()) == (False, 0)
        spool.close()

    async def test_bytes_in_the_log_are_told(self, purge, tmp_path, monkeypatch):
        """Where the write-ahead log can't be emptied, the second look says so."""
        monkeypatch.setattr("receiver.pipeline.spool.PATIENCE", 0.05)
        spool, reader = Spool(tmp_path, limit=LIMIT), Spool(tmp_path, limit=LIMIT)
        spool.add([envelope(b'"ann"'), envelope(b'"bob"')])
        reader._database.execute("BEGIN")
        reader.count()  # it reads, and doesn't end
        assert (await remove(purge()))[2] == {"files of the spool": 1}
        reader._database.execute("COMMIT")
        assert (await remove(purge()))[2] == {}
        spool.close()
        reader.close()

    async def test_nobody_empties_it_meanwhile(self, purge, tmp_path, monkeypatch):
        """While a process empties the spool, the purge waits, and then says so."""
        monkeypatch.setattr("receiver.pipeline.purge_spool.PATIENCE", 0.1)
        spool = Spool(tmp_path, limit=LIMIT)
        with spool.emptying(), pytest.raises(ReceiverError, match="being emptied"):
            await purge().look()
        spool.close()


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


class TestSealed:
    """Bodies that are encrypted at rest."""

    @pytest.fixture
    async def sealing(self, redis_url):
        """A client that seals what it stores."""
        client = connect(redis_url, keyring=Keyring([b"k" * 32]))
        yield client
        await client.aclose()

    async def test_sealed_events_go(self, sealing, blocking, tmp_path):
        """With the key, sealed events are found in the inbox, in letters and in the spool."""
        road = Road(sealing, blocking)

        async def refuse(event, context):
            raise SendbirdRefused("never")

        road.handlers.on("*", name="h")(refuse)
        for body in (ANN, BOB):
            await road.append(**body)
        await run(road)
        spool = Spool(tmp_path, limit=LIMIT)
        spool.add(
            [sealed(envelope(b'{"user_id":"%s"}' % name), sealing.keyring) for name in (b"ann", b"bob")]
        )
        made = Purge(
            sealing, Person("ann"), tmp_path, spool_limit=LIMIT, tell=lambda *_: None, options=Options()
        )
        found, removed, left = await remove(made)
        assert +found == {"inbox": 1, "dead letters": 1, "spool": 1}
        assert (removed["inbox"], removed["dead letters"], removed["spool"], left) == (1, 1, 1, {})
        assert (await made.look()).tally.unreadable == 0
        assert (await road.inbox.length(), spool.count()) == (1, 1)
        spool.close()

    async def test_without_the_key(self, sealing, blocking, purge):
        """Without the key nobody can tell of whom an event is, and that is told."""
        await Road(sealing, blocking).append(**ANN)
        found = await purge().look()
        assert (found.tally.unreadable, found.left) == (1, {})
