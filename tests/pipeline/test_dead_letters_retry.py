"""Dead letters that are retried, with all their attempts."""

from __future__ import annotations

import asyncio

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from receiver.errors import SendbirdRefused
from receiver.pipeline import dead_letters, forgetting, keys, routes
from receiver.pipeline.lanes import Lane
from receiver.pipeline.marks import Mark
from tests.pipeline.lettering import HANDLER, Letters


class TestRetry:
    """A letter that is retried is a delivery like any other."""

    @pytest.mark.parametrize("trimmed", [False, True])
    async def test_it_runs_again(self, letters, trimmed):
        """A retried letter is delivered, whether or not its event is still in the inbox."""
        await letters.die(1)
        if trimmed:
            await letters.leave_the_inbox()
        letters.refused = set()
        assert await letters.retry() == 1
        assert await letters.find() == []
        await letters.work()
        assert [one for one in letters.seen if one[0] == 1] == [(1, 1), (1, 2)]

    async def test_it_has_all_its_attempts_again(self, road):
        """After a retry a delivery may fail as often as before, and its history goes on."""
        failing = True

        async def handler(event, context):
            if failing:
                raise RuntimeError("not yet")

        road.handlers.on("*", name="h", retries=1)(handler)
        letters = Letters.__new__(Letters)
        letters.road, letters.refused = road, set()
        event_id = await road.append(n=1)
        await letters.work()
        await letters.retry()
        await letters.work()
        [delivery] = (await road.history(event_id)).deliveries
        assert (delivery.status, [one.number for one in delivery.attempts]) == ("dead", [1, 2, 3, 4])

    async def test_it_goes_behind_what_waits(self, letters):
        """A retried letter runs after the events of its conversation that wait already."""
        await letters.die(1)
        letters.refused = set()
        await letters.road.append(n=2)
        await letters.road.dispatch()
        await letters.retry()
        await letters.work()
        assert [n for n, _ in letters.seen] == [1, 2, 1]

    async def test_a_sleeping_lane_is_woken_once(self, letters):
        """However many letters go back into a lane, one drain is enqueued for them."""
        await letters.die(1, 2, 3)
        blocking = letters.road.blocking
        queue = Queue(routes.queue_of(HANDLER), connection=blocking, serializer=JSONSerializer)
        queue.empty()
        assert await letters.retry(error="no 1") == 1
        assert await letters.retry() == 2
        [job] = queue.jobs
        assert job.args == [routes.lane_of(HANDLER, "c1")]

    async def test_its_conversation_is_kept_apart(self, letters):
        """A retried letter whose event has left the inbox waits where its conversation is held."""
        await letters.die(1)
        await letters.leave_the_inbox()
        letters.refused = set()
        await letters.road.append(n=2)
        await letters.road.dispatch()
        [lane] = [one for one in await letters.road.lanes() if one.startswith(HANDLER)]
        await letters.road.client.zadd(keys.lane(lane, "held"), {"c1": 10**14})
        await letters.retry()
        await letters.road.drain_lane(lane)
        assert [n for n, _ in letters.seen if n in (1, 2)] == [1]
        assert await letters.road.client.llen(keys.lane(lane, "parked:c1")) == 2

    async def test_a_worker_that_dies_with_it(self, letters):
        """A letter that a dead worker had goes back into its conversation, and is delivered."""
        await letters.die(1)
        await letters.leave_the_inbox()
        letters.refused = set()
        await letters.retry()
        [name] = await letters.road.lanes()
        lane = Lane(letters.road.client, name)
        await lane.begin()
        [taken] = (await lane.turn([], want=10, share=10, enough=[])).events
        assert taken.envelope.conversation == "c1"
        await letters.road.client.set(keys.lane(name, "owner"), "dead 1 killed")
        assert await Lane(letters.road.client, name).begin() == 1
        assert await letters.road.client.llen(keys.lane(name, "parked:c1")) == 1  # alone: it is to blame
        await letters.road.client.delete(keys.lane(name, "owner"))
        await letters.work()
        assert letters.seen[-1] == (1, 3)

    async def test_once(self, road):
        """What happened under `once` before a letter died doesn't happen again."""
        effects, failing = [], True

        async def handler(event, context):
            async with context.once("mail") as first:
                if first:
                    effects.append("mail")
            if failing:
                raise SendbirdRefused("never")

        road.handlers.on("*", name="h")(handler)
        letters = Letters.__new__(Letters)
        letters.road, letters.refused = road, set()
        await road.append(n=1)
        await letters.work()
        failing = False
        await letters.retry()
        await letters.work()
        assert effects == ["mail"]
        assert await letters.find() == []

    async def test_twice_at_once(self, letters):
        """Two who retry the same letters retry each once."""
        await letters.die(1, 2)
        found = await letters.find()
        client, blocking = letters.road.client, letters.road.blocking
        numbers = await asyncio.gather(*(dead_letters.retry(client, blocking, found) for _ in range(2)))
        assert sorted(numbers) == [0, 2]

    async def test_it_keeps_the_mark_of_a_replay(self, letters):
        """The letter of a replayed event says so when it is retried."""
        [event_id] = await letters.die(1)
        entry, _ = await letters.road.inbox.find(event_id)
        await letters.road.client.hset(keys.letter(entry), keys.REPLAY, Mark("abc").to_json())
        await letters.leave_the_inbox()
        [letter] = await letters.find()
        assert letter.envelope.replay_of == "abc"
        await letters.retry()
        [name] = await letters.road.lanes()
        lane = Lane(letters.road.client, name)
        await lane.begin()
        [taken] = (await lane.turn([], want=1, share=1, enough=[])).events
        assert taken.envelope.replay_of == "abc"

    async def test_a_handler_that_is_gone(self, letters):
        """A letter whose handler was forgotten waits in its lane until the handler is back."""
        await letters.die(1)
        await forgetting.forget(letters.road.client, HANDLER)
        assert len(await letters.find(handler=HANDLER)) == 1
        letters.refused = set()
        assert await letters.retry() == 1
        assert (await forgetting.look(letters.road.client, HANDLER)).waiting == 1
        assert await letters.bury() == 0
        await letters.work()
        assert letters.seen == [(1, 1), (1, 2)]
