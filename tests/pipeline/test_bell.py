"""The bell: it calls drains that linger, and workers to lanes that are asleep."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Queue
from rq.serializers import JSONSerializer

from receiver import settings
from receiver.pipeline import bell, dispatcher, keys, rollcall, routes
from receiver.pipeline.connection import connect
from receiver.pipeline.lanes import Lane
from receiver.pipeline.runtime import Runtime
from tests.pipeline.lingering import LANE, NAME, linger, until, watch


@pytest.fixture
def seen(road):
    return watch(road)


@pytest.fixture
async def listener(client):
    """Hears the bell; gives what it has rung for."""
    heard = asyncio.Queue()
    task = asyncio.create_task(bell.Listener(client, heard.put_nowait, "w").listen())
    await until(lambda: client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 1)
    yield heard
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def jobs(blocking):
    return len(Queue(routes.queue_of(NAME), connection=blocking, serializer=JSONSerializer).jobs)


async def test_what_comes_while_a_drain_lingers_needs_no_job(road, seen, blocking, listener):
    """The bell rings for the lane, and the drain goes on."""
    drain, draining = await linger(road)
    event = await road.append()
    await road.dispatch()
    assert LANE in await listener.get()
    drain.wake()
    await until(lambda: road.history(event), lambda found: found.deliveries[0].status == "done")
    assert (seen, jobs(blocking)) == ([event], 0)
    drain._may_linger = False
    drain.wake()
    assert (await draining).state == "empty"


class Forgetful:
    """Stands between a client and Redis, and can forget a connection: only Redis is told."""

    def __init__(self, path):
        self._path = path
        self._near, self._far, self._tasks = [], [], []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error):
        self._server.close()
        for writer in (*self._near, *self._far):
            writer.close()
        await asyncio.gather(*self._tasks)

    def forget_the_first(self):
        """Pass nothing on any more of the first connection that was made."""
        self._far[0].close()

    async def _serve(self, reader, writer):
        far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        self._near.append(writer)
        self._far.append(far_writer)
        self._tasks += [
            asyncio.create_task(self._pass_on(reader, far_writer)),
            asyncio.create_task(self._pass_on(far_reader, writer)),
        ]

    async def _pass_on(self, reader, writer):
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)


async def test_a_connection_that_only_redis_has_lost_is_made_anew(client, redis_server, monkeypatch):
    """After a silence Redis is asked whether it knows of it: otherwise nobody would hear anything again."""
    monkeypatch.setattr(bell, "PATIENCE", 0.05)
    monkeypatch.setattr(bell, "RETRY", 0.0)
    heard = asyncio.Queue()
    async with Forgetful(client.connection_pool.connection_kwargs["path"]) as between:
        far = connect(between.url)
        listener = bell.Listener(far, heard.put_nowait, "w")
        listening = asyncio.create_task(listener.listen())
        await until(lambda: client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 1)
        await until(lambda: asyncio.sleep(0, listener.is_known), bool)
        between.forget_the_first()
        await until(lambda: client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 0)
        await until(lambda: client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 1)
        await client.publish(keys.BELL, LANE)
        assert await asyncio.wait_for(heard.get(), 10) == {LANE}
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await far.aclose()


async def test_a_lane_that_nobody_comes_for_gets_a_job(road, seen, blocking, listener):
    """The bell was heard, but no drain begins."""
    await road.append()
    await road.dispatch()
    assert LANE in await listener.get()
    await road.dispatcher._wake_the_rest()
    assert jobs(blocking) == 0  # its time isn't over
    road.dispatcher._rung[LANE] -= dispatcher.ANSWERED_WITHIN
    await road.dispatcher._wake_the_rest()
    assert jobs(blocking) == 1
    await road.dispatcher._wake_the_rest()
    assert jobs(blocking) == 1


async def test_a_lane_that_somebody_has_come_for_gets_none(road, seen, blocking, listener, monkeypatch):
    """A drain that has begun needs no job, and lanes that nobody came for get theirs."""
    monkeypatch.setattr(dispatcher, "ANSWERED_WITHIN", 0.0)
    other = next(name for n in range(99) if routes.lane_of(NAME, name := f"d{n}") != LANE)
    await road.append()
    await road.append(other)
    await road.dispatch()
    await Lane(road.client, LANE).begin()
    await road.dispatcher._wake_the_rest()
    [job] = Queue(routes.queue_of(NAME), connection=blocking, serializer=JSONSerializer).jobs
    assert job.args == [routes.lane_of(NAME, other)]


async def test_a_lane_where_a_drain_died_lingering_gets_a_job_when_its_lease_is_over(
    road, seen, blocking, listener
):
    """The lane is owned, by one that doesn't come: it is looked at until it may have another owner."""
    _, draining = await linger(road)
    draining.cancel()
    await asyncio.wait([draining])
    await road.append()
    await road.dispatch()
    road.dispatcher._rung[LANE] -= dispatcher.ANSWERED_WITHIN
    await road.dispatcher._wake_the_rest()
    assert jobs(blocking) == 0
    await road.client.delete(keys.lane(LANE, "owner"))
    await road.dispatcher._wake_the_rest()
    assert jobs(blocking) == 1
    assert road.dispatcher._rung == {}


async def test_a_drain_that_has_come_and_gone_is_not_missed(road, seen, blocking, listener, monkeypatch):
    """A lane that is empty needs no job: neither where its drain lingers again, nor where it has left."""
    monkeypatch.setattr(dispatcher, "ANSWERED_WITHIN", 0.0)
    drain, draining = await linger(road)
    await road.append()
    await road.dispatch()
    drain.wake()
    await until(lambda: road.client.hget(keys.LANES, LANE), lambda state: state == b"lingering")
    await road.dispatcher._wake_the_rest()
    assert (len(seen), jobs(blocking), road.dispatcher._rung) == (1, 0, {})
    await road.append()
    await road.dispatch()
    drain._may_linger = False
    drain.wake()
    assert (await draining).state == "empty"
    await road.dispatcher._wake_the_rest()
    assert (len(seen), jobs(blocking), road.dispatcher._rung) == (2, 0, {})


async def test_the_bell_is_heard_again_after_redis_was_away(client, listener, monkeypatch):
    """A connection that breaks is replaced."""
    monkeypatch.setattr(bell, "RETRY", 0.01)
    await client.client_kill_filter(_type="pubsub")
    await until(lambda: client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 1)
    await client.publish(keys.BELL, "a/1\nb/2")
    assert await listener.get() == {"a/1", "b/2"}


async def test_a_redis_that_refuses_to_publish_repeats_nothing(road, seen, blocking, redis_url):
    """A user who may not use the channel has events in their lanes once, and a job for each lane."""
    await road.client.acl_setuser(
        "quiet", enabled=True, nopass=True, keys=["*"], categories=["+@all"], reset_channels=True
    )
    try:
        await road.lead()
        await road.append(identity="m|1")
        await road.client.execute_command("AUTH", "quiet", "")
        await road.dispatcher.dispatch_once()
        assert await road.client.llen(keys.lane(LANE, "queue")) == 1
        assert jobs(blocking) == 1
    finally:
        await road.client.aclose()
        await asyncio.to_thread(blocking.acl_deluser, "quiet")


async def listening(road):
    """Return what a worker process has that hears the bell."""
    here = Runtime(settings.load(), {one.name: one for one in road.handlers})
    here.alone, here.suspects = False, "none"
    here.listen([NAME])
    await until(lambda: road.client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 1)
    return here


async def test_a_worker_answers_the_bell(road, seen, blocking, redis_url, monkeypatch):
    """A process that hears of a lane begins a drain; of a handler that it isn't to run, it doesn't."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)

    @road.handlers.on("*", name="other")
    async def other(event, context):
        """One that this worker has, and isn't to run."""

    here = await listening(road)
    try:
        await road.client.publish(keys.BELL, "nobody.has_it/3\ntest.other/3")
        event = await road.append()
        await road.dispatch()
        await until(lambda: road.history(event), lambda found: found.deliveries[0].status == "done")
        assert jobs(blocking) == 0
        assert not await road.client.exists(keys.lane("test.other/3", "owner"))
    finally:
        await asyncio.to_thread(here.finish)
    await until(lambda: road.client.pubsub_numsub(keys.BELL), lambda found: found[0][1] == 0)


async def test_a_drain_needs_no_list_of_bots(road, seen, redis_url, monkeypatch):
    """Where Redis is lost in the moment in which a lane was taken, its drain goes on."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    here = await listening(road)

    async def lost(key):
        raise RedisConnectionError(key)

    monkeypatch.setattr(here._lanes, "smembers", lost)
    try:
        event = await road.append()
        await road.dispatch()
        await until(lambda: road.history(event), lambda found: found.deliveries[0].status == "done")
    finally:
        await asyncio.to_thread(here.finish)


async def test_a_worker_that_ends_is_there_until_its_drains_have_ended(road, redis_url, monkeypatch):
    """While it lets run what runs, nobody takes it for gone."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", redis_url)
    runs, may_end = threading.Event(), threading.Event()

    @road.handlers.on("*", name="h")
    async def handler(event, context):
        runs.set()
        await asyncio.to_thread(may_end.wait)

    here = await listening(road)
    await road.append()
    await road.dispatch()
    await asyncio.to_thread(runs.wait)
    assert rollcall._signed(await road.client.get(keys.lane(LANE, "owner"))) == here.name
    ends = asyncio.create_task(asyncio.to_thread(here.finish))
    await until(lambda: asyncio.sleep(0, here.stopping), bool)
    for _ in range(50):
        assert (await road.client.pubsub_numsub(keys.here(here.name)))[0][1] == 1
    may_end.set()
    await ends
    await until(lambda: road.client.pubsub_numsub(keys.here(here.name)), lambda found: found[0][1] == 0)
