"""Dead letters: read with their events, and discarded."""

from __future__ import annotations

import pytest

from receiver.pipeline import dead_letters, histories, keys
from tests.pipeline.lettering import HANDLER, number_of


class TestFind:
    """What is found, with which filters."""

    async def test_letters_come_with_their_event_and_history(self, letters):
        """A letter has its envelope, byte for byte, its handler, its attempts, and when it died."""
        [event_id] = await letters.die(1)
        [letter] = await letters.find()
        _, envelope = await letters.road.inbox.find(event_id)
        assert letter.envelope == envelope
        assert (letter.handler, letter.delivery.status) == (HANDLER, "dead")
        assert "no 1 for you" in letter.error
        assert letter.died >= letter.delivery.attempts[-1].ended - 1

    async def test_it_needs_no_inbox(self, letters):
        """A letter is the same when its event has left the inbox."""
        await letters.die(1)
        before = await letters.find()
        await letters.leave_the_inbox()
        assert await letters.find() == before

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"handler": HANDLER}, {1, 2}),
            ({"handler": "test.none"}, set()),
            ({"category": "group_channel:message_send"}, {1, 2}),
            ({"category": "group_channel:*"}, {1, 2}),
            ({"category": "user:*"}, set()),
            ({"error": "NO 2"}, {2}),
            ({"until": 10.0}, set()),
            ({"since": 1e15}, set()),
        ],
    )
    async def test_filters(self, letters, wanted, expected):
        """Each filter lets through what it says."""
        await letters.die(1, 2)
        assert {number_of(one) for one in await letters.find(**wanted)} == expected

    async def test_ids(self, letters):
        """Ids let through exactly theirs."""
        _, second = await letters.die(1, 2)
        assert [one.envelope.id for one in await letters.find(ids=frozenset([second]))] == [second]

    async def test_pages(self, letters, monkeypatch):
        """However many died in one millisecond, each is found once."""
        monkeypatch.setattr(dead_letters, "PAGE", 3)
        ids = await letters.die(*range(10))
        for name in await letters.road.client.zrange(keys.DEAD, 0, 6):
            await letters.road.client.zadd(keys.DEAD, {name: 1})
        found = [one.envelope.id for one in await letters.find()]
        assert sorted(found) == sorted(ids)

    async def test_an_event_that_was_lost(self, letters):
        """A letter whose event somebody had deleted is found, and can be discarded."""
        await letters.road.append(n=1)
        await letters.road.dispatch()
        await letters.road.client.delete(keys.INBOX)
        await letters.road.drain()
        assert {one.handler for one in await letters.find()} == {HANDLER, "test.other"}
        assert await letters.discard() == 2
        assert await letters.left() == []


class TestDiscard:
    """Nothing is left of what is discarded."""

    @pytest.mark.parametrize("trimmed", [False, True])
    async def test_everything_goes(self, letters, trimmed):
        """Letter, copy, and the history of an event that has left the inbox go."""
        [event_id] = await letters.die(1)
        entry, _ = await letters.road.inbox.find(event_id)
        if trimmed:
            await letters.leave_the_inbox()
        assert await letters.discard() == 1
        assert await letters.left() == []
        assert await letters.road.client.exists(keys.event(entry)) == (not trimmed)
        if not trimmed:
            assert await letters.status(event_id) == "skipped"

    async def test_what_died_again(self, letters):
        """Of a letter that was retried and died again nothing is left either."""
        await letters.die(1)
        await letters.retry()
        await letters.work()
        assert await letters.discard() == 1
        assert await letters.left() == []

    async def test_what_another_handler_needs_stays(self, letters):
        """Discarding one handler's letter leaves the other's."""
        letters.refused_by_other = {1}
        await letters.die(1)
        await letters.leave_the_inbox()
        assert await letters.discard(handler=HANDLER) == 1
        [letter] = await letters.find()
        assert (letter.handler, letter.delivery.status, number_of(letter)) == ("test.other", "dead", 1)

    async def test_what_is_retried_for_another_handler_stays(self, letters):
        """Discarding one handler's letter leaves the event to the other's retry."""
        letters.refused_by_other = {1}
        await letters.die(1)
        await letters.leave_the_inbox()
        await letters.retry(handler="test.other")
        await letters.discard(handler=HANDLER)
        letters.refused_by_other = set()
        await letters.work()
        [name] = await letters.road.client.zrange(keys.REVIVED, 0, -1)
        [history] = await histories.load(letters.road.client, [name.decode().split()[0]])
        assert "done" in [one.status for one in history.deliveries if one.handler == "test.other"]

    @pytest.mark.parametrize("act", ["retry", "discard"])
    async def test_dead_again_since_it_was_found(self, letters, act):
        """A letter that was retried and has died again is another one than was found: it stays."""
        await letters.die(1)
        client, blocking = letters.road.client, letters.road.blocking
        [name] = await client.zrange(keys.DEAD, 0, 0)
        await client.zadd(keys.DEAD, {name: 1})
        found = await letters.find()
        await letters.retry()
        await letters.work()
        [again] = await letters.find()
        if act == "retry":
            assert await dead_letters.retry(client, blocking, found) == 0
        else:
            assert await dead_letters.discard(client, found) == 0
        assert await letters.find() == [again]
        assert await dead_letters.discard(client, [again]) == 1

    async def test_a_full_redis(self, letters):
        """Letters can be discarded when Redis takes nothing new: it makes room."""
        await letters.die(1)
        await letters.road.client.config_set("maxmemory", 1)
        try:
            assert await letters.discard() == 1
        finally:
            await letters.road.client.config_set("maxmemory", 0)
