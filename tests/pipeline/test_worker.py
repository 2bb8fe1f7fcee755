"""Workers as processes: RQ's pool, a plain `rq worker`, crashes and clean ends."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import orjson
import pytest
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from receiver.pipeline import jobs, keys
from receiver.pipeline.lanes import LEASE_MS, Lane
from receiver.pipeline.reaper import Reaper
from tests.processes import receiver, running, wait_for

PLUGIN = '''
import asyncio, os
from receiver import Context, Event, Handlers

handlers = Handlers("plug")


@handlers.on("*")
async def note(event: Event, context: Context) -> None:
    """Write down what came."""
    hang = "{folder}/hang"
    with open("{folder}/begun", "a") as begun:
        begun.write(f"{{event.conversation}} {{event.raw['n']}} {{os.getpid()}}\\n")
    while os.path.exists(hang):
        await asyncio.sleep(0.02)
    with open("{folder}/seen", "a") as seen:
        seen.write(f"{{event.conversation}} {{event.raw['n']}} {{os.getpid()}}\\n")
'''


class Site:
    """A folder with a plugin outside the project, and the settings of its workers."""

    def __init__(self, folder, redis_url, road):
        self.folder = folder
        self.road = road
        self.plugin = folder / "my_plugin.py"
        self.plugin.write_text(PLUGIN.format(folder=folder))
        self.environment = {
            "RECEIVER_REDIS_URL": redis_url,
            "RECEIVER_HANDLERS": str(self.plugin),
            "SENDBIRD_APP_ID": "A",
            "SENDBIRD_API_TOKEN": "t",
        }

    def lines(self, name="seen"):
        path = self.folder / name
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def seen(self):
        return [(conversation, int(n)) for conversation, n, _ in self.lines()]

    def work(self, *arguments):
        return running(receiver("work", *arguments), self.environment, self.folder / "work.log")


@pytest.fixture
async def site(tmp_path, redis_url, road):
    return Site(tmp_path, redis_url, road)


async def test_a_pool_handles_what_comes_in_order(site):
    """`receiver work` dispatches and handles everything, each conversation in order."""
    with site.work("--workers", 2) as work:
        for n in range(50):
            await site.road.append(f"c{n % 5}", n=n)
        wait_for(lambda: len(site.seen()) == 50, what="50 handled events")
        assert work.stop() == 0
    for number in range(5):
        mine = [n for name, n in site.seen() if name == f"c{number}"]
        assert mine == sorted(mine)


@pytest.mark.parametrize("how", [["-w", "rq.SimpleWorker"], []], ids=["simple", "forking"])
async def test_a_plain_rq_worker_runs_the_handlers(site, how):
    """`rq worker`, started with RQ's own command, drains lanes; the pool's part is then to dispatch."""
    rq = str(Path(sys.executable).with_name("rq"))
    url = site.environment["RECEIVER_REDIS_URL"]
    command = [rq, "worker", "--url", url, "--serializer", "json", *how, "receiver.plug.note"]
    with site.work("--workers", 0), running(command, site.environment, site.folder / "rq.log"):
        for n in range(20):
            await site.road.append(n=n)
        wait_for(lambda: len(site.seen()) == 20, what="20 handled events")
    assert site.seen() == [("c1", n) for n in range(20)]


async def test_a_worker_runs_drains_only(site, blocking):
    """Whoever can write to Redis can't have a worker run a function of his choice, nor a callback."""
    trace = site.folder / "trace"
    (site.folder / "foreign.py").write_text(f"def leave(*_): open({str(trace)!r}, 'a')")
    site.environment["PYTHONPATH"] = os.pathsep.join([str(site.folder), *filter(None, sys.path)])
    queue = Queue("receiver.plug.note", connection=blocking, serializer=JSONSerializer)
    foreign = queue.enqueue("foreign.leave")
    drain = Job.create(jobs.FUNCTION, args=("plug.note/0",), connection=blocking, serializer=JSONSerializer)
    drain._success_callback_name = drain._failure_callback_name = "foreign.leave"
    queue.enqueue_job(drain)
    with site.work("--workers", 1) as work:
        await site.road.append(n=1)
        wait_for(site.seen, what="a handled event")
        wait_for(lambda: foreign.get_status(refresh=True) == "failed", what="a refused job")
        wait_for(lambda: not queue.job_ids, what="an empty queue")
        assert work.stop() == 0
    assert not trace.exists()


async def test_what_is_left_in_a_registry_runs_nothing(site, blocking):
    """A job that somebody has put among those of a dead worker is not unpickled, and calls nobody."""
    trace = site.folder / "trace"
    (site.folder / "foreign.py").write_text(f"def leave(*_): open({str(trace)!r}, 'a')")
    site.environment["PYTHONPATH"] = os.pathsep.join([str(site.folder), *filter(None, sys.path)])
    queue = "receiver.plug.note"
    job = {
        "created_at": "2026-01-01T00:00:00.000000Z",
        "data": zlib.compress(orjson.dumps([jobs.FUNCTION, None, ["plug.note/0"], {}])),
        "origin": queue,
        "status": "started",
    }
    blocking.hset("rq:job:calls", mapping={**job, "failure_callback_name": "foreign.leave"})
    blocking.hset("rq:job:pickled", mapping={**job, "meta": pickle.dumps(Foreign(str(trace)))})
    abandoned = f"rq:wip:{queue}"
    blocking.zadd(abandoned, {"calls:1": 1, "pickled:1": 1})
    with site.work("--workers", 1) as work:
        await site.road.append(n=1)
        wait_for(site.seen, what="a handled event")
        assert work.stop() == 0
    assert not blocking.zscore(abandoned, "calls:1")  # RQ has looked after it
    assert not trace.exists()


class Foreign:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


async def test_a_killed_worker_loses_nothing(site, monkeypatch):
    """After kill -9 of a worker inside a handler, another one has the event again, and what follows it."""
    (site.folder / "hang").touch()
    with site.work("--workers", 1):
        for n in range(3):
            await site.road.append(n=n)
        [[_, _, pid]] = wait_for(lambda: site.lines("begun"), what="a handler that runs")
        os.kill(int(pid), signal.SIGKILL)
        (site.folder / "hang").unlink()
        lane = (await site.road.lanes())[0]
        await site.road.client.delete(keys.lane(lane, "owner"))  # as if its lease had run out
        wait_for(lambda: len(site.seen()) == 3, what="3 handled events")
    assert site.seen() == [("c1", 0), ("c1", 1), ("c1", 2)]
    _entry, envelope = (await site.road.inbox.latest(3))[-1]
    delivery = await site.road.delivery(envelope.id)
    assert [one.outcome for one in delivery.attempts] == ["cut off", "done"]


async def test_what_a_killed_pool_had_waits_for_no_lease(site, blocking):
    """After kill -9 of a pool and all its workers their lanes are free when Redis has missed them."""
    (site.folder / "hang").touch()
    client = site.road.client
    with site.work("--workers", 1) as work:
        wait_for(lambda: blocking.pubsub_numsub(keys.BELL)[0][1], what="a worker that listens")
        await site.road.append(n=0)
        wait_for(lambda: site.lines("begun"), what="a handler that runs")
        work.kill_group()
    [lane] = await site.road.lanes()
    overseer = Reaper(client, blocking)
    async with asyncio.timeout(LEASE_MS / 3000):
        while not await overseer.reap():
            await asyncio.sleep(0.01)
    assert not await client.exists(keys.lane(lane, "owner"))
    assert jobs.has_job(blocking, lane)
    assert await Lane(client, lane).begin() == 1


def descendants(pid):
    """Return the process ids of all that `pid` has started, directly or not."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    children = [int(child) for child in path.read_text().split()] if path.exists() else []
    return children + [one for child in children for one in descendants(child)]


def lives(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_nothing_outlives_a_killed_process(site):
    """kill -9 of a worker ends its scheduler; kill -9 of the pool ends its workers and its dispatcher."""
    with site.work("--workers", 1) as work:
        await site.road.append(n=0)
        wait_for(site.seen, what="the first event")
        worker = int(site.lines()[0][2])
        [scheduler] = wait_for(lambda: descendants(worker), what="the worker's scheduler")
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not lives(scheduler), what="the scheduler's end")
        wait_for(lambda: len(descendants(work.pid)) >= 2, what="a new worker")
        family = descendants(work.pid)
        work.kill()
        wait_for(lambda: not any(map(lives, family)), what="the family's end")


async def test_a_stopped_worker_ends_what_it_does_and_hands_back_the_rest(site):
    """SIGTERM lets the running handler end, hands the rest back in order, and exits with 0."""
    (site.folder / "hang").touch()
    with site.work("--workers", 1) as work:
        for n in range(5):
            await site.road.append(n=n)
        wait_for(lambda: site.lines("begun"), what="a handler that runs")
        work.send(signal.SIGTERM)
        (site.folder / "hang").unlink()
        assert work.stop() == 0
    handled = len(site.seen())
    assert handled >= 1
    with site.work("--workers", 1):
        wait_for(lambda: len(site.seen()) == 5, what="5 handled events")
    assert site.seen() == [("c1", n) for n in range(5)]


async def test_a_killed_dispatcher_is_replaced(site):
    """After kill -9 of the dispatcher the pool starts another, which leads without waiting for the lease."""
    with site.work("--workers", 1) as work:
        await site.road.append(n=0)
        wait_for(lambda: site.seen() == [("c1", 0)], what="the first event")
        children = Path(f"/proc/{work.pid}/task/{work.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)  # it is started first
        assert await site.road.client.persist(keys.LEASE)
        await site.road.append(n=1)
        wait_for(lambda: len(site.seen()) == 2, what="the second event")
        assert "the dispatcher died" in work.output


async def test_a_handler_that_fails_is_retried(site):
    """A failed attempt is repeated without anybody's help: RQ's scheduler or the reaper wakes the lane."""
    site.plugin.write_text(
        site.plugin.read_text().replace(
            "    hang =", "    if context.attempt == 1: raise ValueError\n    hang ="
        )
    )
    with site.work("--workers", 1):
        event_id = await site.road.append(n=0)
        wait_for(lambda: site.seen() == [("c1", 0)], what="the second attempt")
    delivery = await site.road.delivery(event_id)
    assert [one.outcome for one in delivery.attempts] == ["failed", "done"]


SLOW = """
import asyncio, time
from receiver import Handlers

handlers = Handlers("slow")


@handlers.on("slow:async", timeout=20)
async def hang(event, context):
    await asyncio.sleep(600)


@handlers.on("slow:blocking")
async def block(event, context):
    time.sleep(600)


@handlers.on("slow:thread", timeout=1, retries=0)
def thread(event, context):
    time.sleep(600)
"""


async def test_a_handler_that_hangs_keeps_no_other_waiting(site):
    """With a single worker, another handler's events are handled while one hangs in all its lanes."""
    slow = site.folder / "slow_plugin.py"
    slow.write_text(SLOW)
    site.environment["RECEIVER_HANDLERS"] += f",{slow}"
    with site.work("--workers", 1) as work:
        for n in range(40):
            await site.road.append(f"s{n}", category="slow:async", n=-1)
        await site.road.append("quick", n=1)
        wait_for(lambda: ("quick", 1) in site.seen(), within=15, what="the other handler's event")
        work.kill_group()


async def test_a_handler_that_blocks_the_loop_ends_its_worker_only(site, monkeypatch):
    """A worker whose loop stands still gives up; another one goes on, and the guilty event is blamed."""
    slow = site.folder / "slow_plugin.py"
    slow.write_text(SLOW)
    site.environment["RECEIVER_HANDLERS"] += f",{slow}"
    with site.work("--workers", 1) as work:
        event_id = await site.road.append("blocked", category="slow:blocking", n=-1)
        wait_for(lambda: "blocks the event loop" in work.output, within=60, what="the worker's end")
        assert "slow_plugin.py" in work.output
        await site.road.append("quick", n=1)
        wait_for(lambda: ("quick", 1) in site.seen(), what="the other handler's event")
        work.kill_group()
    assert (await site.road.history(event_id)).deliveries


async def test_a_thread_that_hangs_keeps_no_worker_from_ending(site):
    """SIGTERM ends `work` though a plain function of a dead delivery never returns."""
    slow = site.folder / "slow_plugin.py"
    slow.write_text(SLOW)
    site.environment["RECEIVER_HANDLERS"] += f",{slow}"
    with site.work("--workers", 1) as work:
        event_id = await site.road.append("stuck", category="slow:thread", n=-1)
        wait_for(lambda: "dead letter" in work.output, what="the dead letter")
        assert work.stop() == 0
    delivery = next(
        one for one in (await site.road.history(event_id)).deliveries if one.handler == "slow.thread"
    )
    assert delivery.status == "dead"


@pytest.mark.parametrize("patience", [0.0, 0.3, 1.0])
async def test_two_signals_end_it_as_well(site, patience):
    """SIGTERM to the process and to its group, as service managers send it, ends an idle pool soon."""
    with site.work("--workers", 2) as work:
        wait_for(lambda: "leads" in work.output, what="the dispatcher")
        time.sleep(patience)  # the moment of the signal is the point
        work.send(signal.SIGTERM)
        os.killpg(work.pid, signal.SIGTERM)
        wait_for(lambda: work.exit_code is not None, within=20, what="the end")
        assert work.exit_code == 0


async def test_unknown_handlers_and_bad_modules_end_with_a_clear_message(site):
    """A wrong --handlers or a module that doesn't import ends `work` with exit code 1 and says why."""
    with site.work("--handlers", "plug.nothing") as work:
        wait_for(lambda: work.exit_code is not None)
        assert work.exit_code == 1
        assert "there is no handler 'plug.nothing'. There are: plug.note." in work.output
    site.plugin.write_text("import nothing_like_this\n")
    with site.work() as work:
        wait_for(lambda: work.exit_code is not None)
        assert work.exit_code == 1
        assert "does not import" in work.output
        assert "my_plugin.py" in work.output


COLLECTS = """
from receiver import Batch, Context, Event, Handlers

handlers = Handlers("plug")


@handlers.collect(quiet=2, longest=60, most=3)
async def digest(batch: Batch[Event], context: Context) -> None:
    if batch.key == "retried" and context.attempt == 1:
        raise ValueError
    with open("{folder}/batches", "a") as batches:
        batches.write(" ".join([batch.key, *(str(event.raw["n"]) for event in batch.events)]) + "\\n")


@handlers.on("*")
async def gather(event: Event, context: Context) -> None:
    await context.gather(digest, *event.raw["keys"])
"""


async def test_batches_close_by_rqs_scheduler(site):
    """Batches close when they are quiet or full, without anybody's help, also those of a failed attempt."""
    site.plugin.write_text(COLLECTS.format(folder=site.folder))
    for n in range(4):
        await site.road.append(f"c{n}", n=n, keys=["full", "retried"] if n < 3 else ["quiet"])
    with site.work("--workers", 2):
        wait_for(lambda: len(site.lines("batches")) == 3, what="3 batches")
    full, quiet, retried = sorted(site.lines("batches"))
    assert (full[0], sorted(full[1:])) == ("full", ["0", "1", "2"])
    assert quiet == ["quiet", "3"]
    assert (retried[0], sorted(retried[1:])) == ("retried", ["0", "1", "2"])


async def test_ends_under_a_stream_lose_and_repeat_nothing(site):
    """Pools that are told to end, one after the other, handle each event once, in order, and exit with 0."""
    count = 300

    async def stream():
        for n in range(count):
            await site.road.append(f"c{n % 5}", n=n)
            await asyncio.sleep(0.02)

    streaming = asyncio.create_task(stream())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        with site.work("--workers", 2) as work:
            had = len(site.seen())
            while len(site.seen()) < had + 20:
                await asyncio.sleep(0.02)
            assert await asyncio.to_thread(work.stop, number) == 0
            assert "a worker died" not in work.output
    await streaming
    with site.work("--workers", 2):
        wait_for(lambda: len(site.seen()) >= count, what=f"{count} handled events")
    for number in range(5):
        assert [n for name, n in site.seen() if name == f"c{number}"] == list(range(number, count, 5))


@pytest.mark.parametrize(("grace", "signals"), [(0.5, 1), (60, 2)], ids=["its grace", "a second signal"])
async def test_an_attempt_that_takes_too_long_is_handed_back(site, grace, signals):
    """After the grace, or a second signal, what runs is cut off, blames nobody, and is tried elsewhere."""
    (site.folder / "hang").touch()
    with site.work("--workers", 1, "--grace", grace) as work:
        event_id = await site.road.append(n=0)
        wait_for(lambda: site.lines("begun"), what="a handler that runs")
        began = time.monotonic()
        for _ in range(signals):
            work.send(signal.SIGTERM)
            time.sleep(1.2 * (signals - 1))  # two at once would be one
        assert work.stop() == 0
        assert time.monotonic() - began < 15
    (site.folder / "hang").unlink()
    [cut_off] = (await site.road.delivery(event_id)).attempts
    assert cut_off.error == "the worker was told to end, and this attempt took too long"
    entry, _ = await site.road.inbox.find(event_id)
    assert await site.road.client.hget(keys.event(entry), "plug.note") == b"retrying 1 0"
    with site.work("--workers", 1):
        wait_for(lambda: site.seen() == [("c1", 0)], what="the second attempt")


SECOND = """

@handlers.on("*")
async def second(event: Event, context: Context) -> None:
    with open("{folder}/second", "a") as seen:
        seen.write(f"{{event.conversation}} {{event.raw['n']}} 2\\n")
"""


async def test_a_handler_that_vanished_keeps_its_deliveries(site):
    """Old code ends, new code without one of the handlers goes on, and then the handler is back.

    Its events wait meanwhile, `receiver handlers` says how many, and they are handled in order.
    """
    old = site.plugin.read_text()
    both = old + SECOND.format(folder=site.folder)
    site.plugin.write_text(both)
    with site.work("--workers", 1):
        await site.road.append(n=0)
        wait_for(lambda: len(site.lines("second")) == len(site.seen()) == 1, what="both handlers")
    for n in range(1, 4):
        await site.road.append(n=n)
    site.plugin.write_text(old)
    with site.work("--workers", 1):
        for n in range(4, 6):
            await site.road.append(n=n)
        wait_for(lambda: len(site.seen()) == 6, what="the handler that stayed")
        listing = subprocess.run(
            receiver("handlers"), env={**os.environ, **site.environment}, capture_output=True, check=True
        )
        assert "not loaded here: 5 events wait until it is back" in " ".join(listing.stdout.decode().split())
    assert len(site.lines("second")) == 1
    site.plugin.write_text(both)
    with site.work("--workers", 1):
        wait_for(lambda: len(site.lines("second")) == 6, what="the handler that is back")
    assert [int(n) for _, n, _ in site.lines("second")] == list(range(6))
    assert site.seen() == [("c1", n) for n in range(6)]


async def test_a_killed_scheduler_is_replaced(site):
    """After kill -9 of RQ's scheduler its worker starts another one: retries need it."""
    with site.work("--workers", 1):
        await site.road.append(n=0)
        wait_for(site.seen, what="the first event")
        worker = int(site.lines()[0][2])
        [scheduler] = wait_for(lambda: descendants(worker), what="the worker's scheduler")
        os.kill(scheduler, signal.SIGKILL)

        wait_for(
            lambda: [one for one in descendants(worker) if one != scheduler and lives(one)],
            what="another scheduler",
        )
