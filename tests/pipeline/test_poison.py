"""Poison: whatever a handler does, its event ends as a dead letter, and nothing else suffers for long."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from rq import Worker

from receiver.pipeline import histories, keys
from receiver.pipeline.routes import lane_of
from receiver.pipeline.runtime import BLOCKED
from tests.pipeline.kitchen import Kitchen
from tests.processes import wait_for

AT_ONCE = {
    "exits": "SystemExit: 0",
    "plain_exits": "SystemExit: ",
    "interrupts": "KeyboardInterrupt: ",
    "generator": "GeneratorExit: ",
    "plain_stops": "RuntimeError: StopIteration: ",
    "task_exits": "SystemExit: 3",
    "where_raises": "AttributeError: ",
    "hangs": "no end within 1 s",
    "plain_hangs": "no end within 1 s",
    "swallows": "no end within 1 s, nor when it was cancelled",
    "late": "no end within 1 s",
    "plain_late": "no end within 1 s",
}
DEADLY = {
    "dies": "killed by SIGKILL",
    "plain_dies": "killed by SIGKILL",
    "ends": "it ended with exit code 0",
    "crashes": "killed by SIGSEGV",
    "blocks": "a handler blocked its event loop",
    "where_blocks": "a handler blocked its event loop",
    "plain_locks": "its event loop stood still for ",
    "eats": "MiB of memory, and RECEIVER_WORKER_MEMORY allows 250 MiB",
}


@pytest.fixture
async def kitchen(tmp_path, redis_url, road):
    return Kitchen(tmp_path, redis_url, road)


def children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


async def test_what_raises_or_hangs_harms_nobody(kitchen):
    """Each ends as a dead letter that says why, in the same worker, and other events wait for none."""
    with kitchen.work() as work:
        kinds = {kind: await kitchen.poison(kind) for kind in AT_ONCE}
        for n in range(30):
            await kitchen.road.append(f"c{n % 3}", n=n)
        ended = await kitchen.all_ended(kinds, within=30)
        wait_for(lambda: len(kitchen.seen()) == 30, what="30 handled events")
        assert "a worker died" not in work.output
        assert work.stop() == 0
    assert {kind: one.status for kind, one in ended.items()} == dict.fromkeys(AT_ONCE, "dead")
    for kind, said in AT_ONCE.items():
        [attempt] = ended[kind].attempts
        assert attempt.error.startswith(said)
        assert attempt.outcome == ("timed out" if said.startswith("no end") else "failed")


@pytest.mark.timeout(600)
async def test_what_ends_its_worker_is_found_out(kitchen):
    """Each is a dead letter that says of what its worker died, once per failure that it was allowed.

    Meanwhile, and after the first blow, the other handler's events are handled, in order and soon; in the
    end the pool is at strength.
    """
    with kitchen.work() as work:
        wait_for(lambda: "leads" in work.output, what="the dispatcher")
        kinds = {kind: await kitchen.poison(kind, n=-1) for kind in DEADLY}
        sent, took, n = {}, {}, 0
        deadline = time.monotonic() + 180
        while len(await kitchen.ended(kinds)) < len(kinds):
            assert time.monotonic() < deadline, set(kinds) - set(await kitchen.ended(kinds))
            sent[n] = time.monotonic()
            await kitchen.road.append(f"c{n % 7}", n=n)
            n += 1
            await asyncio.sleep(0.1)
            for _, m in kitchen.seen():
                if m >= 0:
                    took.setdefault(m, time.monotonic() - sent[m])
        wait_for(lambda: {m for _, m in kitchen.seen()} == {-1, *range(n)}, what="the other events")
        ended = await kitchen.ended(kinds)
        wait_for(lambda: len(children(work.pid)) == 3, what="two workers and the dispatcher")
        await kitchen.road.append("c0", n=n)
        wait_for(lambda: ("c0", n) in kitchen.seen(), what="one more event")
        assert "workers die as soon" not in work.output
        assert work.stop() == 0
    assert {kind: one.status for kind, one in ended.items()} == dict.fromkeys(DEADLY, "dead")
    for kind, said in DEADLY.items():
        assert said in ended[kind].attempts[-1].error
        assert {one.outcome for one in ended[kind].attempts} == {"cut off"}
    for number in range(7):
        mine = [m for name, m in kitchen.seen() if name == f"c{number}"]
        first = list(dict.fromkeys(mine))
        assert first == sorted(first)
    assert sorted(took.values())[len(took) // 2] < 10
    for entry, _ in await kitchen.road.inbox.latest(1000):
        [history] = await histories.load(kitchen.road.client, [entry])
        assert all(one.status == "done" for one in history.deliveries if one.handler == "poison.well")


@pytest.mark.parametrize("deaths", [1, 2], ids=["together", "one by one"])
async def test_a_suspect_that_takes_long_holds_up_no_other(kitchen, deaths):
    """While suspects run on and on, together or one by one, those of other handlers are run, too."""
    conversations = ["c0", "c1"]
    assert len({lane_of("poison.waits", name) for name in conversations}) == 2
    with kitchen.work() as work:
        slow = [await kitchen.poison("waits", name) for name in conversations]
        killed = set()

        def begun():
            latest = {pids[-1] for pids in kitchen.waiting().values()}
            return len(kitchen.waiting()) == 2 and not latest & killed and latest

        for _ in range(deaths):
            for pid in wait_for(begun, what="both of them"):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        wait_for(begun, what="both of them, as suspects")
        kinds = {kind: await kitchen.poison(kind) for kind in ("dies", "crashes")}
        await kitchen.all_ended(kinds, within=40)
        assert begun()
        (kitchen.folder / "gate").touch()
        for event_id in slow:
            ended = await kitchen.all_ended({"waits": event_id}, within=20)
            assert ended["waits"].status == "done"
        assert work.stop() == 0


async def test_a_suspect_that_takes_long_is_handed_back(kitchen):
    """A pool that is told to end cuts it off after the grace, and blames nobody, as with any attempt."""
    with kitchen.work("--grace", 0.5) as work:
        event_id = await kitchen.poison("waits")
        [first] = wait_for(lambda: kitchen.waiting()["waits"], what="the first attempt")
        os.kill(first, signal.SIGKILL)
        [_, second] = wait_for(lambda: kitchen.waiting()["waits"][1:] and kitchen.waiting()["waits"])

        def looks_for_jobs():
            return any(worker.pid == second for worker in Worker.all(kitchen.road.blocking))

        wait_for(lambda: not looks_for_jobs(), what="the end of its jobs")
        assert work.stop() == 0
        assert "it ended with exit code" not in work.output
    (kitchen.folder / "gate").touch()
    with kitchen.work():
        ended = await kitchen.all_ended({"waits": event_id}, within=20)
    killed, cut_off, done = ended["waits"].attempts
    assert killed.error.endswith("killed by SIGKILL")
    assert cut_off.error == "the worker was told to end, and this attempt took too long"
    assert done.outcome == "done"


@pytest.mark.parametrize("how", [["-w", "rq.SimpleWorker"], []], ids=["simple", "forking"])
async def test_what_blocks_a_plain_rq_worker_is_found_out(kitchen, how):
    """The process that has it gives up each time, its lane is taken over, and its event is to blame."""
    blocked = await kitchen.poison("blocks")
    lane = lane_of("poison.blocks", "blocks")
    with kitchen.work(workers=0), ExitStack() as workers:
        started = [workers.enter_context(kitchen.rq_worker(*how))]

        def gave_up():
            return started[-1].output.count("a handler blocks the event loop")

        for n in range(2):
            wait_for(lambda n=n: gave_up() == n + 1, within=30, what="a process that gives up")
            if how:
                wait_for(lambda: started[-1].exit_code is not None, what="the worker's end")
                assert started[-1].exit_code == BLOCKED
                started.append(workers.enter_context(kitchen.rq_worker(*how)))
            await kitchen.road.append("c0", n=n)
            wait_for(lambda n=n: ("c0", n) in kitchen.seen(), what="another handler's event")
            await kitchen.road.client.delete(keys.lane(lane, "owner"))  # as if its lease had run out
        ended = await kitchen.all_ended({"blocks": blocked}, within=30)
        assert started[-1].exit_code is None
    assert ended["blocks"].status == "dead"
    assert [one.outcome for one in ended["blocks"].attempts] == ["cut off", "cut off"]


ILL = """
import os
from receiver import Handlers
from receiver.pipeline.worker import LaneWorker

handlers = Handlers("ill")


@handlers.on("a:b")
async def handle(event, context):
    pass


def fail(self):
    with open("{folder}/starts", "a") as starts:
        starts.write("x")
    os._exit(1)


LaneWorker._install_signal_handlers = fail
"""


async def test_workers_that_die_at_once_are_not_started_without_end(kitchen):
    """The pool makes a pause that grows, and lives on."""
    (kitchen.folder / "ill.py").write_text(ILL.format(folder=kitchen.folder))
    with kitchen.work(RECEIVER_HANDLERS=str(kitchen.folder / "ill.py")) as work:
        wait_for(lambda: work.output.count("workers die as soon as they have begun") >= 3, what="a pause")
        starts = (kitchen.folder / "starts").read_text()
        assert len(starts) <= 8
        assert work.stop() == 0


MANY = """
from receiver.pipeline import limits

limits.MOST_STRAYS = 5
from tests.pipeline.poisons import handlers
"""


async def test_a_worker_with_many_strays_is_replaced(kitchen, project):
    """When handlers that outlived their attempts pile up, their worker ends as if told to."""
    (kitchen.folder / "many.py").write_text(MANY)
    path = {"PYTHONPATH": str(project), "RECEIVER_HANDLERS": str(kitchen.folder / "many.py")}
    with kitchen.work(**path) as work:
        before = wait_for(lambda: len(children(work.pid)) == 3 and children(work.pid), what="the workers")
        kinds = {}
        for number in range(12):
            event_id = await kitchen.poison(("swallows", "plain_hangs")[number % 2], f"s{number}")
            kinds[event_id] = ("swallows", "plain_hangs")[number % 2]
        wait_for(lambda: "pile up" in work.output, what="the worker's decision")
        wait_for(lambda: len(set(children(work.pid)) - set(before)) >= 1, what="its end")
        for event_id, kind in kinds.items():
            await kitchen.all_ended({kind: event_id}, within=20)
        assert "a worker died" not in work.output
