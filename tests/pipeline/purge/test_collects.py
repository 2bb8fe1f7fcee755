"""Removing what was gathered."""

from __future__ import annotations

import pytest

from receiver.pipeline import keys
from tests.pipeline.collecting import Collecting
from tests.pipeline.purge.purging import ANN, BOB, remove


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
