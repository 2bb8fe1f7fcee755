"""All of a person's data goes, from every place in Redis."""

from __future__ import annotations

import pytest

from receiver.mail.unsubscribe import OptOuts, Subscription
from receiver.pipeline import dead_letters, keys
from receiver.pipeline.housekeeping import Housekeeper
from tests.pipeline.purge.purging import ANN, BOB, bodies, remove, run


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
