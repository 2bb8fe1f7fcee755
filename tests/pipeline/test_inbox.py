"""The inbox: appended in groups, each acknowledged by its own entry."""

from __future__ import annotations

import asyncio

import pytest

from receiver.embedded import EmbeddedRedis
from receiver.errors import NotStored
from receiver.events.envelope import Envelope
from receiver.intake import new_id
from receiver.pipeline import inbox as inbox_module
from receiver.pipeline import keys
from receiver.pipeline.connection import connect
from receiver.pipeline.inbox import Inbox


def envelope(body=b"{}", **values):
    defaults = {
        "id": new_id(1),
        "source": "webhook",
        "category": "c:x",
        "conversation": "ch",
        "identity": "",
        "received": 1,
    }
    return Envelope(**{**defaults, "body": body, **values})


async def test_an_envelope_comes_back_as_it_was(client):
    """What was appended is read back the same, bytes and all."""
    inbox = Inbox(client)
    stored = envelope(
        b'{"a":"\\u00e9\\/"}', identity="i|1", conversation="ch\u00e9", received=1_700_000_000_123
    )
    await inbox.append(stored)
    [(_, found)] = await inbox.latest(1)
    assert found == stored


async def test_appends_keep_their_order(client):
    """Events appended one after the other in one turn of the loop stand in that order."""
    inbox = Inbox(client)
    events = [envelope(b'{"n":%d}' % n) for n in range(300)]
    await asyncio.gather(*(inbox.append(one) for one in events))
    found = [one.id for _, one in await inbox.latest(300)]
    assert found == [one.id for one in reversed(events)]


async def test_waiting_appends_share_a_pipeline(client):
    """All appends that wait while a pipeline is on its way go into the next one together."""
    inbox = Inbox(client)
    sent = []
    commit = inbox._commit_group

    async def counted(group):
        sent.append(len(group))
        await commit(group)

    inbox._commit_group = counted
    first = asyncio.create_task(inbox.append(envelope()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.gather(first, *(inbox.append(envelope()) for _ in range(99)))
    assert sent == [1, 99]


async def test_a_full_redis_stores_nothing_and_says_so(client):
    """With maxmemory reached, an append raises NotStored, and works again when there is room."""
    inbox = Inbox(client)
    await client.config_set("maxmemory", "1")
    try:
        with pytest.raises(NotStored):
            await inbox.append(envelope())
        with pytest.raises(NotStored, match="full"):
            await inbox.ready()
    finally:
        await client.config_set("maxmemory", "0")
    assert await inbox.length() == 0
    await inbox.append(envelope())
    assert await inbox.length() == 1


async def test_a_redis_that_is_away_raises_and_heals(tmp_path):
    """While Redis is away appends raise NotStored; when it is back they work, with what was acknowledged."""
    server = EmbeddedRedis(tmp_path, fsync="always")
    with server:
        client = connect(server.url)
        inbox = Inbox(client)
        kept = envelope()
        await inbox.append(kept)
        server.kill()
        with pytest.raises(NotStored):
            await inbox.append(envelope())
        with pytest.raises(NotStored):
            await inbox.ready()
        server.start()
        await inbox.ready()
        later = envelope()
        await inbox.append(later)
        assert [one.id for _, one in await inbox.latest(5)] == [later.id, kept.id]
        await client.aclose()


async def test_the_first_append_after_a_restart_works(tmp_path, monkeypatch):
    """When Redis was restarted while nothing came, the next event is stored: its connection is looked at."""
    monkeypatch.setattr(inbox_module, "IDLE", 0.0)
    server = EmbeddedRedis(tmp_path, fsync="always")
    with server:
        client = connect(server.url)
        inbox = Inbox(client)
        await inbox.append(envelope())
        server.kill()
        server.start()
        await inbox.append(envelope())
        assert await inbox.length() == 2
        await client.aclose()


async def test_an_abandoned_request_harms_no_other(client):
    """A sender that gives up while its event waits leaves the rest of the group alone."""
    inbox = Inbox(client)
    given_up = asyncio.create_task(inbox.append(envelope()))
    kept = asyncio.create_task(inbox.append(envelope()))
    await asyncio.sleep(0)
    given_up.cancel()
    await kept
    with pytest.raises(asyncio.CancelledError):
        await given_up


async def test_an_event_is_found_by_its_id(client):
    """`find` returns the event with an id, and None for one that never was or is no id at all."""
    inbox = Inbox(client)
    now = 1_700_000_000_000
    events = [envelope(id=new_id(now), received=now) for _ in range(20)]
    for one in events:
        await inbox.append(one)
    _, found = await inbox.find(events[7].id, page=3)
    assert found.id == events[7].id
    assert await inbox.find(new_id(now)) is None
    assert await inbox.find("no id") is None


async def test_follow_goes_on_behind_an_entry(client):
    """`follow` after an entry misses nothing that came since."""
    inbox = Inbox(client)
    events = [envelope() for _ in range(3)]
    for one in events:
        await inbox.append(one)
    entry = (await inbox.latest(3))[-1][0]
    following = inbox.follow(entry)
    assert [(await anext(following))[1].id for _ in range(2)] == [one.id for one in events[1:]]
    await following.aclose()


async def test_it_is_known_what_was_dispatched(client):
    """An entry counts as dispatched once the cursor has reached it."""
    inbox = Inbox(client)
    await client.set(keys.CURSOR, "10-9")
    assert [await inbox.is_dispatched(one) for one in ("9-99", "10-9", "10-10", "11-0")] == [
        True,
        True,
        False,
        False,
    ]


async def test_follow_gives_what_comes_in_from_now_on(client):
    """`follow` gives later events only, as they come."""
    inbox = Inbox(client)
    await inbox.append(envelope())
    following = inbox.follow()
    first = asyncio.create_task(anext(following))
    while not any(one["cmd"] == "xread" for one in await client.client_list()):
        await asyncio.sleep(0)
    later = envelope()
    await inbox.append(later)
    _, found = await first
    assert found.id == later.id
    await following.aclose()


async def test_an_unexpected_error_leaves_nobody_waiting(client):
    """Whatever goes wrong while a group is sent, each of its appends ends, and later ones work."""
    inbox = Inbox(client)
    inbox._client = None
    with pytest.raises(NotStored):
        await inbox.append(envelope())
    inbox._client = client
    await inbox.append(envelope())
    assert await inbox.length() == 1
