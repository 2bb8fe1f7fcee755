"""Whether a process can store: who asks takes nothing from events."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from receiver import app, readiness
from receiver.app import Receiver
from receiver.readiness import Readiness
from tests.support import make_settings


async def test_one_look_for_all(monkeypatch):
    """However many ask, one looks; and again only when that answer is old."""
    asked, goes_on = [], asyncio.Event()

    async def ready():
        asked.append(1)
        await goes_on.wait()

    async def spooled():
        return 0, 0

    storage = SimpleNamespace(spooled=spooled, spooling=False)
    one = Readiness(SimpleNamespace(ready=ready), storage)
    waiting = [asyncio.create_task(one.ask()) for _ in range(100)]
    while not asked:
        await asyncio.sleep(0)
    waiting.pop().cancel()
    goes_on.set()
    assert await asyncio.gather(*waiting) == [(True, {"inbox": "ok", "spooled": 0})] * 99
    monkeypatch.setattr(readiness, "FRESH", 1000.0)
    await one.ask()
    assert len(asked) == 1
    monkeypatch.setattr(readiness, "FRESH", -1.0)
    await one.ask()
    assert len(asked) == 2


async def test_events_have_connections_of_their_own(redis_url, tmp_path):
    """While all connections for other things are taken, an event is stored in the inbox."""
    receiver = Receiver(make_settings(redis_url, RECEIVER_DATA_DIR=str(tmp_path)))
    await receiver.storage.open()
    taken = [await receiver.beside.connection_pool.get_connection() for _ in range(app.BESIDE)]
    envelope = receiver.gate.intake.vouched(b'{"category":"user:block"}')
    assert await receiver.storage.append(envelope) == "inbox"
    looking = asyncio.create_task(receiver.readiness.ask())
    for _ in range(50):  # long enough for a look, if it took one of these connections
        await receiver.client.ping()
    assert not looking.done()  # it waits for one of the others
    for connection in taken:
        await receiver.beside.connection_pool.release(connection)
    assert (await looking)[0]
    await receiver.storage.close()
    await receiver.client.aclose()
    await receiver.beside.aclose()
