"""Poison: whatever a handler does, its event ends as a dead letter, and nothing else suffers for long."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from rq import Worker
from structlog.testing import capture_logs

from receiver.errors import Fenced
from receiver.pipeline import histories, keys, limits, obituaries, pulse, routes
from receiver.pipeline.attempts import Attempts
from receiver.pipeline.lanes import Lane, Taken
from receiver.pipeline.pulse import Pulse, Stillness
from receiver.pipeline.routes import lane_of
from receiver.pipeline.runtime import BLOCKED
from tests.processes import receiver, running, wait_for

POISONS = Path(__file__).parent / "poisons.py"
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


class Kitchen:
    """A pool with two workers that has the poisons, and a handler that is well."""

    def __init__(self, folder, redis_url, road):
        self.folder = folder
        self.road = road
        self.environment = {
            "RECEIVER_REDIS_URL": redis_url,
            "RECEIVER_HANDLERS": str(POISONS),
            "RECEIVER_WORKER_MEMORY": "250MiB",
            "SENDBIRD_APP_ID": "A",
            "SENDBIRD_API_TOKEN": "t",
            "POISON_FOLDER": str(folder),
        }

    def work(self, *options, workers=2, **environment):
        command = receiver("work", "--workers", workers, *options)
        return running(command, self.environment | environment, self.folder / "work.log")

    def rq_worker(self, *options):
        """Start RQ's own worker, for the handlers that block and that are well."""
        rq = str(Path(sys.executable).with_name("rq"))
        url = self.environment["RECEIVER_REDIS_URL"]
        queues = ["receiver.poison.blocks", "receiver.poison.well"]
        command = [rq, "worker", "--url", url, "--serializer", "json", *options, *queues]
        return running(command, self.environment, self.folder / "rq.log")

    def waiting(self):
        """Return the processes in which events of the handler that waits have begun, by conversation."""
        path = self.folder / "waits"
        lines = path.read_text().splitlines() if path.exists() else []
        begun = defaultdict(list)
        for conversation, pid in map(str.split, lines):
            begun[conversation].append(int(pid))
        return begun

    def seen(self):
        path = self.folder / "seen"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(conversation, int(n)) for conversation, n, _ in map(str.split, lines)]

    async def poison(self, kind, conversation=None, **body):
        return await self.road.append(conversation or kind, category=f"poison:{kind}", **body)

    async def ended(self, kinds):
        """Return the ended deliveries of the poisons, by kind: {kind: id} are given."""
        found = {}
        for kind, event_id in kinds.items():
            history = await self.road.history(event_id)
            for one in history.deliveries:
                if one.handler == f"poison.{kind}":
                    found[kind] = one
        return {kind: one for kind, one in found.items() if one.status in ("done", "dead", "skipped")}

    async def all_ended(self, kinds, *, within):
        deadline = time.monotonic() + within
        while len(ended := await self.ended(kinds)) < len(kinds):
            assert time.monotonic() < deadline, f"these didn't end: {set(kinds) - set(ended)}"
            await asyncio.sleep(0.1)
        return ended


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


@pytest.mark.timeout(240)
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


async def drained(road, handler, **options):
    """Have one event handled; return its delivery."""
    road.handlers.on("*", name="h", **options)(handler)
    event_id = await road.append()
    await road.dispatch()
    await road.drain()
    return await road.delivery(event_id)


@pytest.fixture
def impatient(monkeypatch):
    """A cancelled handler has little time to end."""
    monkeypatch.setattr(limits, "ENDS_WITHIN", 0.05)


async def test_what_swallows_its_cancellation_is_left_behind(road, impatient):
    """Its attempt is timed out, and what it still asks of its context is refused."""
    told, gate = [], asyncio.Event()

    async def handler(event, context):
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()
        calls = (
            context.once("mail").__aenter__,
            context.state,
            lambda: context.gather(None, "k"),
            lambda: context.cancel(None, "k"),
        )
        for one in calls:
            try:
                told.append(await one())
            except Fenced as error:
                told.append(str(error))

    delivery = await drained(road, handler, timeout=0.02, retries=0)
    assert delivery.status == "dead"
    assert [one.error for one in delivery.attempts] == ["no end within 0.02 s, nor when it was cancelled"]
    assert len(road.strays) == 1
    gate.set()
    async with asyncio.timeout(5):
        while len(road.strays):
            await asyncio.sleep(0.01)
    assert told == ["this attempt is over: what it still does doesn't count"] * 4


async def test_an_effect_that_happened_late_is_remembered(road, impatient):
    """A block under `once` that ends after its attempt did is not repeated by a later attempt."""
    gate, ended = asyncio.Event(), asyncio.Event()

    async def handler(event, context):
        async with context.once("mail"):
            while not gate.is_set():
                with suppress(asyncio.CancelledError):
                    await gate.wait()
        ended.set()

    await drained(road, handler, timeout=1, retries=0)
    gate.set()
    await asyncio.wait_for(ended.wait(), 5)
    [(entry, _)] = await road.inbox.latest(1)
    assert await road.client.hget(keys.event(entry), "test.h once mail") == b"1"


async def test_what_returns_after_its_time_is_timed_out(road):
    """A handler that ends well when it is cancelled has not ended in time; its state is not saved."""

    async def handler(event, context):
        state = await context.state()
        state["n"] = 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    delivery = await drained(road, handler, timeout=0.02, retries=0)
    assert (delivery.status, delivery.attempts[0].outcome) == ("dead", "timed out")
    assert await road.client.get(keys.state("test.h", "c1")) is None


async def test_a_thread_that_outlives_its_attempt_is_counted(road):
    """It is a stray until it ends."""
    gate = threading.Event()

    def handler(event, context):
        gate.wait(30)

    delivery = await drained(road, handler, timeout=0.02, retries=0)
    assert delivery.attempts[0].outcome == "timed out"
    assert len(road.strays) == 1
    gate.set()
    async with asyncio.timeout(5):
        while len(road.strays):
            await asyncio.sleep(0.01)


async def test_a_drain_that_is_out_of_time_hands_back_what_runs(road, impatient):
    """Its attempts are cut off and blame nobody, even one that can't be cancelled; what ended is recorded."""
    begun, gate, order = asyncio.Event(), asyncio.Event(), []

    async def handler(event, context):
        if event.raw["n"] == 1 and context.attempt == 1:
            begun.set()
            while not gate.is_set():
                with suppress(asyncio.CancelledError):
                    await gate.wait()
            return
        order.append(event.raw["n"])

    road.handlers.on("*", name="h", retries=0)(handler)
    events = [await road.append(n=n) for n in range(4)]
    await road.dispatch()
    [lane] = await road.lanes()
    drain = road.drain_of(lane)
    assert await drain.begin()
    draining = asyncio.create_task(drain.run())
    await begun.wait()
    road.stopping = road.out_of_time = True
    drain.wake()
    async with asyncio.timeout(5):
        assert (await draining).state == "more"
    road.stopping = road.out_of_time = False
    while await road.lanes():
        await road.drain()
    gate.set()
    assert order == [0, 1, 2, 3]
    histories = [[one.outcome for one in (await road.delivery(event)).attempts] for event in events]
    assert histories == [["done"], ["cut off", "done"], ["done"], ["done"]]


async def crash(road, worker, conversations):
    """Have a worker take one event in each of these conversations' lanes, and die. Return the lanes."""
    lanes = []
    for conversation in conversations:
        await road.append(conversation)
        await road.dispatch()
        lane = Lane(road.client, routes.lane_of("test.h", conversation), worker=worker)
        assert await lane.begin() == 0
        assert len((await lane.turn([], want=1, share=1, enough=[])).events) == 1
        lanes.append(lane.name)
    return lanes


async def test_a_dead_letter_by_crashes_is_told(road):
    """Who alerts on errors in the log learns of a delivery of which every attempt was cut off."""
    road.handlers.on("*", name="h", retries=0)(lambda event, context: None)
    event_id = await road.append()
    [[entry, envelope]] = await road.inbox.latest(1)
    [registered] = road.handlers
    with capture_logs() as told:
        verdict = await Attempts(registered, road).run(Taken(entry, 1, 1, envelope))
    assert verdict.status == "dead"
    [line] = told
    assert (line["log_level"], line["id"], line["handler"]) == ("error", event_id, "test.h")


@pytest.mark.parametrize("count", [1, 2])
async def test_only_what_a_worker_had_alone_is_blamed(road, blocking, count):
    """A pool frees a dead worker's lanes at once; what died in company, in any lane, is only suspect."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    names = crash_in = ["c0", "c1"][:count]
    assert len({routes.lane_of("test.h", name) for name in names}) == count
    lanes = await crash(road, "w1", crash_in)
    assert obituaries.tell(blocking, "w1", 'killed by "x"') == count
    for name in lanes:
        assert await Lane(road.client, name, worker="w2").begin() == 1
        assert await road.client.zcard(keys.lane(name, "held")) == (count == 1)
    assert await road.client.exists(keys.dangerous("test.h")) == (count == 1)
    for entry, _ in await road.inbox.latest(10):
        [history] = await histories.load(road.client, [entry])
        [attempt] = history.deliveries[0].attempts
        assert attempt.error == 'the worker died while it had this event: killed by "x"'


async def test_another_workers_lanes_stay_its_own(road, blocking):
    """An obituary frees no lane that has another owner."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    [name] = await crash(road, "w1", ["c0"])
    assert obituaries.tell(blocking, "w", "gone") == 0
    assert obituaries.tell(blocking, "w2", "gone") == 0
    assert await Lane(road.client, name).begin() is None


async def test_a_lane_that_was_taken_over_meanwhile_stays_its_heirs(road, blocking, monkeypatch):
    """An obituary frees no lane whose lease ran out, and which got an heir, after the pool had looked."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    [name] = await crash(road, "w1", ["c0"])
    look = obituaries._lanes_of

    def look_too_early(client, worker):
        found = look(client, worker)
        blocking.set(keys.lane(name, "owner"), "w2:heir")
        return found

    monkeypatch.setattr(obituaries, "_lanes_of", look_too_early)
    obituaries.tell(blocking, "w1", "gone")
    assert await road.client.get(keys.lane(name, "owner")) == b"w2:heir"


async def test_an_obituary_ends(road, blocking):
    """Where the wake-up is lost, the reaper takes the lane for an owned one for a minute, and no longer."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    [name] = await crash(road, "w1", ["c0"])
    assert obituaries.tell(blocking, "w1", "gone") == 1
    assert 0 < await road.client.pttl(keys.lane(name, "owner")) <= obituaries.TOLD_FOR


async def test_suspects_are_for_drains_that_take_them(road, blocking):
    """A worker's drain leaves when a suspect is next; one for suspects takes them alone, and nothing else."""
    order = []

    async def handler(event, context):
        order.append(event.raw.get("n"))

    road.handlers.on("*", name="h")(handler)
    [name] = await crash(road, "w1", ["c0"])
    await road.append("c0", n=1)
    await road.dispatch()
    await road.client.delete(keys.lane(name, "owner"))  # its lease ran out

    async def drain(suspects):
        drain = road.drain_of(name)
        drain._lane = Lane(road.client, name, suspects=suspects)
        assert await drain.begin()
        return (await drain.run()).state, drain.suspect_waits

    assert await drain("none") == ("more", True)
    assert order == []
    assert await drain("only") == ("more", False)
    assert order == [None]
    assert await drain("none") == ("empty", False)
    assert order == [None, 1]


def test_stillness_counts_only_what_was_seen(monkeypatch):
    """Who was frozen itself takes nobody for dead; a beat begins anew."""
    now = [100.0]
    monkeypatch.setattr(pulse.time, "monotonic", lambda: now[0])
    heart = Pulse()
    stillness = Stillness(heart)
    for step, seconds in ((1, 1), (1, 2), (600, 4)):
        now[0] += step
        assert stillness.look() == seconds
    heart.beat()
    now[0] += 1
    assert stillness.look() == 0


def test_a_pulse_is_shared_with_a_fork():
    """What a child beats, its parent sees."""
    heart = Pulse()
    child = os.fork()
    if not child:
        heart.beat()
        os._exit(0)
    os.waitpid(child, 0)
    assert heart.beats == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [(-signal.SIGKILL, "killed by SIGKILL"), (-40, "killed by signal 40"), (3, "it ended with exit code 3")],
)
def test_causes(code, said):
    """An exit code is told in words."""
    assert obituaries.cause(code) == said
