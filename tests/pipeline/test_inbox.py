"""The inbox: what it holds can be read back, found and followed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from receiver.intake import new_id
from receiver.pipeline import keys
from receiver.pipeline.inbox import Inbox
from receiver.pipeline.storage import Storage
from tests.pipeline.envelopes import envelope


async def append(client, one):
    await Storage(client, Path("unused"), limit=0, spool_limit=0).append(one)


async def test_an_envelope_comes_back_as_it_was(client):
    """What was appended is read back the same, bytes and all."""
    inbox = Inbox(client)
    stored = envelope(
        b'{"a":"\\u00e9\\/"}', identity="i|1", conversation="ch\u00e9", received=1_700_000_000_123
    )
    await append(client, stored)
    [(_, found)] = await inbox.latest(1)
    assert found == stored


async def test_an_event_is_found_by_its_id(client):
    """`find` returns the event with an id, and None for one that never was or is no id at all."""
    inbox = Inbox(client)
    now = 1_700_000_000_000
    events = [envelope(id=new_id(now), received=now) for _ in range(20)]
    for one in events:
        await append(client, one)
    _, found = await inbox.find(events[7].id, page=3)
    assert found.id == events[7].id
    assert await inbox.find(new_id(now)) is None
    assert await inbox.find("no id") is None


async def test_follow_goes_on_behind_an_entry(client):
    """`follow` after an entry misses nothing that came since."""
    inbox = Inbox(client)
    events = [envelope() for _ in range(3)]
    for one in events:
        await append(client, one)
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
    await append(client, envelope())
    following = inbox.follow()
    first = asyncio.create_task(anext(following))
    while not any(one["cmd"] == "xread" for one in await client.client_list()):
        await asyncio.sleep(0)
    later = envelope()
    await append(client, later)
    _, found = await first
    assert found.id == later.id
    await following.aclose()
