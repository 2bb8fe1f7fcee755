"""Removing what is encrypted."""

from __future__ import annotations

import pytest

from receiver.cipher import Keyring
from receiver.errors import SendbirdRefused
from receiver.events.person import Person
from receiver.pipeline.connection import connect
from receiver.pipeline.purge import Options, Purge
from receiver.pipeline.sealing import sealed
from receiver.pipeline.spool import Spool
from tests.pipeline.conftest import Road
from tests.pipeline.envelopes import envelope
from tests.pipeline.purge.purging import ANN, BOB, LIMIT, remove, run


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
