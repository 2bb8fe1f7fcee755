"""Lanes, dedupe, retries and leases against a model: several dispatchers and owners, step by step.

Nothing runs by itself here: the machine decides who does the next step, whose lease ends between two of
them, whose answer is lost, and who comes back too late. (`modelling.py` says how to run it longer.)
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis.exceptions import ConnectionError as RedisConnectionError

from receiver.errors import Fenced
from receiver.pipeline import dispatcher as dispatcher_module
from receiver.pipeline import forgetting, keys, lanes, reaper, routes
from receiver.pipeline.connection import connect
from receiver.pipeline.deliveries import Attempt
from receiver.pipeline.dispatcher import Dispatcher
from receiver.pipeline.finished import Finished
from receiver.pipeline.housekeeping import Housekeeper
from receiver.pipeline.lanes import Lane, Taken, Turn
from receiver.pipeline.reaper import Reaper
from receiver.pipeline.storage import Storage
from receiver.plugins import Handlers
from tests.pipeline import modelling
from tests.pipeline.envelopes import envelope
from tests.pipeline.modelling import Event, Model, check, look

ONE, TWO = "test.one", "test.two"
WANTED = {ONE: {"c:x", "c:y"}, TWO: {"c:y"}}
BOTH, ONLY_ONE, NOBODY = "c:y", "c:x", "c:z"
LONG = 3600
AT_ONCE = 4
"""Events that a dispatcher moves at once."""


def neighbours(count):
    """Return conversations that share a lane, and one that doesn't."""
    names = [f"n{n}" for n in range(500)]
    first = routes.lane_of(ONE, names[0])
    return [
        *[name for name in names if routes.lane_of(ONE, name) == first][:count],
        next(name for name in names if routes.lane_of(ONE, name) != first),
    ]


CONVERSATIONS = neighbours(3)
LANES = Model(WANTED, CONVERSATIONS).lanes

IDENTITIES = ["i", "j"]

which = st.integers(0, 5)
busy = st.sampled_from([*LANES, routes.lane_of(ONE, CONVERSATIONS[0]), routes.lane_of(ONE, CONVERSATIONS[0])])
events = st.lists(
    st.tuples(
        st.sampled_from(CONVERSATIONS),
        st.sampled_from([BOTH, BOTH, ONLY_ONE, NOBODY]),
        st.sampled_from(["", "", "", *IDENTITIES]),
    ),
    min_size=2,
    max_size=8,
)
outcome = st.sampled_from(
    ["done", "fail", "done", "fail and go on", "done", "dead", "at once dead", "at once skipped"]
)
outcomes = st.lists(outcome, min_size=2, max_size=6)
few_outcomes = st.lists(outcome, max_size=2)


class Late:
    """The script that dispatches, on its way to Redis until `go` is set. Its answer may be lost."""

    def __init__(self):
        self.waits = False
        self.go = asyncio.Event()
        self.lost = False

    async def run(self, *arguments):
        self.waits = True
        await self.go.wait()
        self.waits = False
        self.go.clear()
        answer = await Dispatcher._dispatch.run(*arguments)
        if self.lost:
            raise RedisConnectionError("the answer was lost")
        return answer


class Candidate:
    """A dispatcher, and what it knows: the routes, and what it has read and not dispatched yet."""

    def __init__(self, client, blocking):
        self.dispatcher = Dispatcher(client, blocking, dedupe_window=600, retention=3600)
        self.script = self.dispatcher._dispatch = Late()
        self.table = set()
        self.batch = []
        self.task = None

    @property
    def token(self):
        return self.dispatcher.token

    @property
    def leads(self):
        """Whether it thinks so."""
        return self.dispatcher._leading and self.task is None


class AtOnce(NamedTuple):
    """A delivery that ended in its first attempt: a turn tells all of these together."""

    status: str
    entry: str


def operations_of(told):
    """Return the operations of what an owner tells, as a drain gives them to a turn."""
    at_once = defaultdict(list)
    operations = []
    for operation, _ in told:
        if isinstance(operation, AtOnce):
            at_once[operation.status].append(Finished(operation.entry, 1, 1))
        else:
            operations.append(operation)
    return [*operations, *(lanes.finish(status, "w", finished) for status, finished in at_once.items())]


@dataclass(eq=False)
class Owner:
    """A drain in slow motion. What has ended stands in `told` until a turn brings it to Redis.

    With each operation goes the same for the model (`modelling.Model.settle`).
    """

    lane: Lane
    given: dict[str, deque[Taken]] = field(default_factory=dict)
    running: dict[str, Taken] = field(default_factory=dict)
    failed: dict[str, tuple[Taken, int]] = field(default_factory=dict)
    overflowing: set[str] = field(default_factory=set)
    told: list[tuple] = field(default_factory=list)
    last: list[tuple] = field(default_factory=list)
    answer: Turn | None = None
    is_leaving: bool = False

    @property
    def idle(self):
        return not (self.given or self.running or self.failed or self.told or self.answer)

    @property
    def startable(self):
        return sorted(name for name in self.given if name not in self.running and name not in self.failed)

    def receive(self, turn):
        for taken in turn.events:
            self.given.setdefault(taken.envelope.conversation, deque()).append(taken)
        for name in turn.overflowing:
            if name in self.given or name in self.running or name in self.failed:
                self.overflowing.add(name)
            else:
                self.told.append((lanes.resume(name), ("resume", name)))

    def start(self, name):
        self.running[name] = self.given[name].popleft()
        if not self.given[name]:
            del self.given[name]

    def finish(self, name, outcome, numbers):
        """End the attempt that runs."""
        taken = self.running.pop(name)
        n = numbers[taken.entry]
        number = taken.attempts + 1
        if outcome in {"fail", "fail and go on"}:
            self.failed[name] = (taken, LONG if outcome == "fail" else 0)
            return
        if outcome == "done":
            state = b"%d" % n
            self.told.append((lanes.remember(taken, name, state), ("remember", n, state)))
            attempt = Attempt(number, 1, "done")
            ended = lanes.end(taken, "done", attempt) if taken.attempts else AtOnce("done", taken.entry)
            self.told.append((ended, ("end", n, "done", "done")))
        elif outcome == "dead":
            attempt = Attempt(number, 1, "failed")
            self.told.append((lanes.end(taken, "dead", attempt), ("end", n, "dead", "failed")))
        else:
            status = outcome.removeprefix("at once ")
            is_first = status == "skipped" and not taken.attempts
            ended = AtOnce(status, taken.entry) if is_first else lanes.end(taken, status)
            self.told.append((ended, ("end", n, status, None)))
        if name not in self.given:
            self._forget(name)

    def leave(self, numbers):
        """Give back what has not begun."""
        self.is_leaving = True
        for name in [name for name in self.given if name not in self.failed]:
            for taken in reversed(self.given.pop(name)):
                self.told.append((lanes.back([(taken.entry, name)])[0], ("back", numbers[taken.entry])))
            if name not in self.running:
                self._forget(name)

    def _forget(self, name):
        if name in self.overflowing:
            self.overflowing.discard(name)
            self.told.append((lanes.resume(name), ("resume", name)))

    def tell(self, numbers):
        """Return what has to be recorded, and forget it."""
        told, self.told = self.told, []
        for name, (taken, wait) in self.failed.items():
            behind = [one.entry for one in self.given.pop(name, ())]
            attempt = Attempt(taken.attempts + 1, 1, "failed")
            step = ("retry", numbers[taken.entry], wait, [numbers[entry] for entry in behind])
            told.append((lanes.retry(taken, attempt, name, wait, behind), step))
            self.overflowing.discard(name)
        self.failed.clear()
        return told


class Road(RuleBasedStateMachine):
    """The real thing beside the model."""

    def __init__(self, url):
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = connect(url)
        self.blocking = redis.Redis.from_url(url)
        self.blocking.flushall()
        self.storage = Storage(self.client, Path("unused"), limit=0, spool_limit=0)
        self.model = Model(WANTED, CONVERSATIONS)
        self.candidates = [Candidate(self.client, self.blocking) for _ in range(2)]
        self.owners = []
        self.handlers = Handlers("test")
        for name, wanted in WANTED.items():
            self.handlers.on(*sorted(wanted), name=name.removeprefix("test."))(self.handle)
        self.reaper = Reaper(self.client, self.blocking)
        self.look()

    async def handle(self, event, context):
        """Only its route is needed."""

    def run(self, work):
        return self.runner.run(work)

    def look(self):
        self.seen = self.run(look(self.client, self.model))
        return self.seen

    @property
    def numbers(self):
        return {event.entry: event.n for event in self.model.events}

    def pick(self, which, found):
        return found[which % len(found)]

    def has_lane(self, owner):
        return self.model.owner[owner.lane.name] is owner

    def expect_nothing(self):
        """Nothing has changed in Redis."""
        before, now = self.seen, self.look()
        before.now = now.now
        assert before == now

    def call(self, owner, work):
        """Do something as a lane's owner; tell whether it is still one. One that isn't has no effect."""
        if self.has_lane(owner):
            return True, self.run(work)
        with pytest.raises(Fenced):
            self.run(work)
        self.expect_nothing()
        self.owners.remove(owner)
        return False, None

    # Intake.

    @initialize(wanted=events)
    def begin_with(self, wanted):
        """Both handlers are known, and some events are there."""
        self.publish()
        self.accept_all(wanted, at_once=True)

    @rule(wanted=events, at_once=st.sampled_from([True, True, False]))
    def accept(self, wanted, at_once):
        """Events are stored, some with an identity that others had before; and dispatched, or not yet."""
        self.accept_all(wanted, at_once=at_once)

    def accept_all(self, wanted, *, at_once):
        self.run(self.append(wanted))
        idle = self.idle_candidates()
        if at_once and self.model.leader is None and idle:
            self.lead_with(idle[len(wanted) % len(idle)])
        if at_once and self.model.leader in idle and self.model.leader.leads:
            self.dispatch_all()

    async def append(self, wanted):
        envelopes = [
            envelope(conversation=conversation, category=category, identity=identity)
            for conversation, category, identity in wanted
        ]
        await asyncio.gather(*(self.storage.append(one) for one in envelopes))
        found = await self.client.xrevrange(keys.INBOX, count=len(envelopes))
        for (entry, fields), one in zip(reversed(found), envelopes, strict=True):
            assert fields[b"id"] == one.id.encode()
            number = len(self.model.events)
            self.model.events.append(
                Event(number, entry.decode(), one.conversation, one.category, one.identity)
            )

    def outlive(self):
        """The dedupe windows are over."""
        for key in self.blocking.scan_iter(f"{keys.PREFIX}seen:*"):
            self.blocking.delete(key)
        self.model.remembered.clear()

    # Dispatchers.

    def idle_candidates(self):
        return [one for one in self.candidates if one.task is None]

    @precondition(idle_candidates)
    @rule(which=which)
    def lead(self, which):
        """A dispatcher takes the lease if nobody has it, and learns the routes."""
        self.lead_with(self.pick(which, self.idle_candidates()))

    def lead_with(self, one):
        one.dispatcher._renewed = 0.0
        leads = self.run(one.dispatcher._hold_lease())
        assert leads == (self.model.leader in {None, one})
        if leads:
            self.model.leader = one
            one.table = set(self.model.published)

    def pause(self):
        """The leader is paused for longer than its lease. It doesn't know."""
        self.blocking.delete(keys.LEASE)
        self.model.leader = None

    @precondition(idle_candidates)
    @rule(which=which, wanted=events, paused=st.booleans())
    def read(self, which, wanted, paused):
        """A dispatcher that thinks that it leads reads a batch from the inbox; it may lose its lease then."""
        one = self.pick(which, self.idle_candidates())
        self.run(self.append(wanted))
        if not one.leads and self.model.leader is None:
            self.lead_with(one)
        if one.leads:
            self.begin_to_dispatch(one)
            if paused:
                self.pause()

    def begin_to_dispatch(self, one):
        cursor = one.dispatcher._cursor
        first = self.numbers[cursor] + 1 if cursor != "0-0" else 0
        there = self.model.events[max(first, self.model.gone) :]
        one.batch = [event for event in there if event.n not in self.model.swept][:AT_ONCE]
        self.run(self.let_read(one))
        assert bool(one.task) == bool(one.batch and one.table)

    async def let_read(self, one):
        one.task = asyncio.create_task(one.dispatcher.dispatch_once())
        while not one.script.waits and not one.task.done():
            await asyncio.sleep(0)
        if one.task.done():
            assert one.task.result() == 0
            one.task = None

    @precondition(lambda self: self.model.leader in self.candidates)
    @rule(wanted=events, comes_back=st.booleans())
    def overtake(self, wanted, comes_back):
        """The leader is paused, another one dispatches; the first may lead again, with an old cursor."""
        first = self.model.leader
        [other] = [one for one in self.candidates if one is not first]
        self.pause()
        if other.task is None:
            self.lead_with(other)
            self.accept_all(wanted, at_once=True)
            if comes_back and first.task is None:
                self.pause()
                self.lead_with(first)
                self.look()
                self.accept_all(wanted, at_once=True)

    @precondition(lambda self: any(one.task for one in self.candidates))
    @rule(which=which, lost=st.sampled_from([False, True, False]))
    def dispatch(self, which, lost):
        """What a dispatcher read comes to the lanes, or is refused: another one leads, or was quicker."""
        self.end_to_dispatch(self.pick(which, [one for one in self.candidates if one.task]), lost=lost)

    def end_to_dispatch(self, one, *, lost=False):
        stale = self.model.leader is not one or one.batch[0].n != self.model.dispatched
        count = self.run(self.let_dispatch(one, lost=lost))
        assert (not one.dispatcher._leading) == (stale or lost)
        if stale:
            assert count == 0
            self.expect_nothing()
            return
        woken = self.model.dispatch(one.batch, one.table)
        assert count == (0 if lost else len(one.batch))
        self.model.jobs.update(() if lost else woken)

    async def let_dispatch(self, one, *, lost):
        one.script.lost = lost
        one.script.go.set()
        task, one.task = one.task, None
        try:
            return await task
        except RedisConnectionError:
            one.dispatcher._leading = False  # as in its `_repeat`
            return 0

    def dispatch_all(self):
        """The leader dispatches all that it sees."""
        one = self.model.leader
        while one is not None and one.leads and self.model.dispatched < len(self.model.events) and one.table:
            self.look()
            self.begin_to_dispatch(one)
            self.end_to_dispatch(one)

    def resign(self):
        """A dispatcher ends, and takes no lease with it but its own; another process takes its place."""
        one = self.candidates[0]
        if one.task is not None:
            return
        self.run(one.dispatcher._resign.run(self.client, [keys.LEASE], [one.token]))
        if self.model.leader is one:
            self.model.leader = None
        self.candidates[:] = [self.candidates[1], Candidate(self.client, self.blocking)]

    # Owners.

    def able(self, condition):
        return [one for one in self.owners if condition(one)]

    @rule(lane=st.sampled_from(LANES))
    def begin(self, lane):
        """A job for a lane runs: a drain becomes its owner, if no other one lives."""
        self.begin_lane(lane)

    def begin_lane(self, lane):
        if self.model.jobs[lane]:
            self.run(self.drop_job(lane))
        owner = Owner(Lane(self.client, lane))
        began, taken = self.run(self.redis_time()), set(self.model.taken[lane])
        recovered = self.run(owner.lane.begin())
        if self.model.owner[lane] is not None:
            assert recovered is None
            return None
        self.owners.append(owner)
        assert recovered == len(taken)
        if self.model.begin(lane, owner):
            self.run(self.prolong_wait(lane, taken.pop(), began))
        return owner

    @rule(lane=busy, want=st.integers(1, 6), share=st.integers(1, 3), outcomes=few_outcomes)
    def work(self, lane, want, share, outcomes):
        """A lane's owner, or else a new one, takes events, and some of their attempts end."""
        self.work_on(lane, want, share, outcomes)

    @rule(lane=busy, want=st.integers(1, 6), share=st.integers(1, 3), outcomes=outcomes)
    def work_and_tell(self, lane, want, share, outcomes):
        """The same, and Redis learns it. An owner that has nothing left may let its lane go."""
        owner = self.work_on(lane, want, share, outcomes)
        if owner.answer is None and (owner.told or owner.failed):
            owner.last = owner.tell(self.numbers)
            self.record(owner, owner.last)
        if owner.idle:
            self.look()
            self.release_lane(owner)

    def work_on(self, lane, want, share, outcomes):
        owner = self.model.owner[lane] or self.begin_lane(lane)
        if owner.answer is None and not owner.is_leaving:
            self.look()
            self.take(owner, want, share)
        if owner.answer is not None:
            self.receive_of(owner)
        self.finish_some(owner, outcomes, 0)
        return owner

    async def drop_job(self, lane):
        queue = f"rq:queue:{routes.queue_of(routes.handler_of(lane))}"
        prefix = modelling.job_prefix(lane).encode()
        job = next(one for one in await self.client.lrange(queue, 0, -1) if one.startswith(prefix))
        await self.client.lrem(queue, 1, job)
        self.model.jobs[lane] -= 1

    async def prolong_wait(self, lane, n, began):
        """What is blamed waits for a second at first, which is too short for a machine that is busy."""
        one = self.model.deliveries[n, routes.handler_of(lane)]
        held = keys.lane(lane, "held")
        wait = await self.client.zscore(held, one.conversation) - 1000 * 2 ** (one.failures - 1)
        assert began <= wait <= await self.redis_time()
        await self.client.zadd(held, {one.conversation: began + LONG * 1000})

    async def redis_time(self):
        """Return Redis's time, in whole milliseconds."""
        seconds, micros = await self.client.time()
        return seconds * 1000 + micros // 1000

    @precondition(lambda self: any(self.model.owner.values()))
    @rule(which=which, has_heir=st.booleans())
    def end_lease(self, which, has_heir):
        """An owner is dead, or was paused for longer than its lease, and doesn't know."""
        lane = self.pick(which, [lane for lane, owner in self.model.owner.items() if owner])
        self.lose(lane)
        if has_heir:
            self.begin_lane(lane)

    @rule(lane=busy, want=st.integers(1, 3), turns=st.integers(1, 3))
    def crash(self, lane, want, turns):
        """A lane's owner, or else a new one, takes events and dies; its heir goes on, and dies or not."""
        self.work_on(lane, want, 2, [])
        self.lose(lane)
        self.work_on(lane, want, 2, [])
        for _ in range(1, turns):
            self.work_on(lane, 3, 2, [])

    def lose(self, lane):
        self.blocking.delete(keys.lane(lane, "owner"))
        self.model.owner[lane] = None

    def can_turn(self):
        return self.able(lambda one: one.answer is None and not one.is_leaving)

    @precondition(can_turn)
    @rule(
        which=which,
        want=st.integers(1, 6),
        share=st.integers(1, 3),
        answer=st.sampled_from(
            ["comes", "is on its way", "comes", "comes", "comes", "is on its way", "was lost"]
        ),
    )
    def turn(self, which, want, share, answer):
        """An owner records what has ended, and takes more. It may be a while until it has the answer."""
        owner = self.pick(which, self.can_turn())
        self.take(owner, want, share)
        if owner.answer is not None and answer == "comes":
            self.receive_of(owner)
        elif owner.answer is not None and answer == "was lost":
            self.abandon_lane(owner)

    @rule(lane=busy, then=st.sampled_from(["bell", "bell", "nothing", "death"]), wanted=events)
    def linger(self, lane, then, wanted):
        """An owner with nothing in its hands looks once more, and lingers where there is nothing; then
        something comes, and it hears of it, or it dies, and who comes after it finds what came.
        """
        owner = self.model.owner[lane] or self.begin_lane(lane)
        if not owner.idle or owner.is_leaving:
            return
        self.look()
        self.take(owner, 6, 3, linger=True)
        lingers = self.model.states.get(lane) == "lingering"
        assert lingers == owner.answer.lingers
        self.receive_of(owner)
        if then == "nothing" or not lingers:
            return
        if then == "death":
            self.lose(lane)
        self.accept_all(wanted, at_once=True)
        self.work_on(lane, 6, 3, [])

    def take(self, owner, want, share, *, linger=False):
        lane = owner.lane.name
        enough = [name for name, waiting in owner.given.items() if len(waiting) >= share]
        told = owner.tell(self.numbers)
        owner.last = []
        operations = operations_of(told)
        enough = [name for name in enough if name in owner.given]  # those that failed have told so
        before = self.seen.lanes[lane]
        still, turn = self.call(
            owner, owner.lane.turn(operations, want=want, share=share, enough=enough, linger=linger)
        )
        if not still:
            return
        self.model.settle(lane, [step for _, step in told])
        parked = {name for name, waiting in before.parked.items() if waiting}
        parked |= {operation[5] for operation in operations if operation[0] == "retry"}
        self.check_turn(lane, turn, want=want, share=share, enough=enough, before=before, parked=parked)
        owner.answer = turn
        if linger and not any(self.model.pending[pair] for pair in self.model.pairs_of(lane)):
            self.model.states[lane] = "lingering"

    def check_turn(self, lane, turn, *, want, share, enough, before, parked):
        """What was given had its turn, and what wasn't given has a reason.

        `before` is the lane before the turn; `parked` are the conversations that waited apart.
        """
        model, handler, numbers = self.model, routes.handler_of(lane), self.numbers
        given = [numbers[one.entry] for one in turn.events]
        for one in turn.events:
            delivery = model.deliveries[numbers[one.entry], handler]
            assert (one.attempts, one.failures) == (len(delivery.outcomes), delivery.failures)
            assert one.envelope.conversation == delivery.conversation
        suspects, busy = model.suspects[lane], bool(model.taken[lane])
        if suspects & set(given):
            assert len(given) == 1
            assert not busy
        if suspects & model.taken[lane]:
            assert (given, turn.overflowing) == ([], [])
        assert len(given) <= want
        able = []
        for pair in model.pairs_of(lane):
            name, untaken = pair[1], model.untaken(pair)
            mine = [n for n in given if n in untaken]
            assert mine == untaken[: len(mine)]
            assert len(mine) <= (2 * share if name in parked else share)
            if pair in model.waits | model.overflowing:
                assert not mine
                assert name not in turn.overflowing
            elif name in enough:
                assert not mine
            elif untaken:
                able.append((name, len(untaken) - len(mine), len(mine)))
        assert sum(one.envelope.conversation in CONVERSATIONS for one in turn.events) == len(given)
        now = self.look().lanes[lane]
        for name in turn.overflowing:
            assert now.parked[name]
            mine = [n for n in given if model.events[n].conversation == name]
            assert name in enough or suspects or len(mine) >= min(share, want)
        model.take(lane, given, turn.overflowing)
        model.suspects[lane] -= {n for parked in now.parked.values() for n in parked if n in before.queue}
        if suspects:
            assert given or not able or busy or len(now.queue) < len(before.queue)
        else:
            self.check_reasons(turn, able, len(given) == want, before, now)

    def check_reasons(self, turn, able, full, before, now):
        """Who could have had more was parked, or the turn had looked at as many as it wanted."""
        for name, left, got in able:
            if left and not full and name not in turn.overflowing:
                assert not now.parked[name]
                assert len(now.queue) < len(before.queue)
            if before.parked[name] and not full:
                assert got, "what was here before goes first"

    @precondition(lambda self: self.able(lambda one: one.answer))
    @rule(which=which)
    def receive(self, which):
        """The answer of a turn reaches its owner, whose lane may be another's by now."""
        self.receive_of(self.pick(which, self.able(lambda one: one.answer)))

    def receive_of(self, owner):
        turn, owner.answer = owner.answer, None
        owner.receive(turn)

    @precondition(lambda self: self.able(lambda one: one.startable))
    @rule(which=which)
    def start(self, which):
        """An owner begins an event. Where it has the lane, nothing earlier of the conversation is open."""
        owner = self.pick(which, self.able(lambda one: one.startable))
        self.start_of(owner, self.pick(which, owner.startable))

    def start_of(self, owner, name):
        owner.start(name)
        if not self.has_lane(owner):
            return
        lane, numbers = owner.lane.name, self.numbers
        told = {step[1] for _, step in owner.told if step[0] == "end"}
        n = numbers[owner.running[name].entry]
        assert n in self.model.taken[lane]
        pending = [one.n for one in self.model.pending[routes.handler_of(lane), name]]
        assert set(pending[: pending.index(n)]) <= told
        assert n not in told

    @precondition(lambda self: self.able(lambda one: one.running or one.startable))
    @rule(which=which, outcomes=outcomes)
    def finish(self, which, outcomes):
        """Attempts of an owner end. Redis doesn't know yet."""
        owner = self.pick(which, self.able(lambda one: one.running or one.startable))
        self.finish_some(owner, outcomes, which)

    def finish_some(self, owner, outcomes, which):
        for number, outcome in enumerate(outcomes):
            names = sorted(owner.running) or owner.startable
            if names:
                name = self.pick(which + number, names)
                if name not in owner.running:
                    self.start_of(owner, name)
                owner.finish(name, outcome, self.numbers)

    def can_settle(self):
        return self.able(lambda one: one.answer is None and (one.told or one.failed))

    @precondition(can_settle)
    @rule(which=which)
    def settle(self, which):
        """An owner records what has ended, and takes nothing."""
        owner = self.pick(which, self.can_settle())
        owner.last = owner.tell(self.numbers)
        self.record(owner, owner.last)

    def record(self, owner, told):
        still, _ = self.call(owner, owner.lane.turn(operations_of(told), want=0, share=1, enough=[]))
        if still:
            self.model.settle(owner.lane.name, [step for _, step in told])

    @precondition(lambda self: self.able(lambda one: one.last))
    @rule(which=which)
    def settle_again(self, which):
        """The answer was lost, and the same is sent again, whatever happened in between."""
        owner = self.pick(which, self.able(lambda one: one.last))
        before = self.seen.lanes[owner.lane.name]
        self.record(owner, owner.last)
        if owner in self.owners:
            now = self.look().lanes[owner.lane.name]
            assert (now.queue, now.taken, now.parked) == (before.queue, before.taken, before.parked)

    @precondition(lambda self: self.able(lambda one: one.idle))
    @rule(which=which)
    def release(self, which):
        """An owner with nothing in its hands lets the lane go, if there is nothing to do now or it stops."""
        self.release_lane(self.pick(which, self.able(lambda one: one.idle)))

    def release_lane(self, owner):
        """Return how the lane was left."""
        name = owner.lane.name
        lane, now = self.seen.lanes[name], self.seen.now
        still, left = self.call(owner, owner.lane.release(give_way=owner.is_leaving))
        if not still:
            return None
        due = min(lane.held.values(), default=None)
        if lane.queue or (due is not None and due <= now):
            assert (left.state, left.due) == ("more", None)
        elif due is not None:
            assert (left.state, left.due) == ("resting", due)
            self.model.states[name] = "resting"
        else:
            assert (left.state, left.due) == ("empty", None)
            assert not any(self.model.pending[pair] for pair in self.model.pairs_of(name))
            del self.model.states[name]
        if left.state != "more" or owner.is_leaving:
            self.model.owner[name] = None
            self.owners.remove(owner)
        return left.state

    @precondition(lambda self: self.owners)
    @rule(which=which, lost=st.sampled_from([False, False, True]))
    def end(self, which, lost):
        """An owner is told to stop, or has lost Redis, and with it what it wanted to tell."""
        owner = self.pick(which, self.owners)
        if lost:
            self.abandon_lane(owner)
        elif owner.answer is None and not owner.is_leaving:
            owner.leave(self.numbers)

    def abandon_lane(self, owner):
        self.run(owner.lane.abandon())
        self.owners.remove(owner)
        if self.has_lane(owner):
            self.model.abandon(owner.lane.name)
            self.look()
        self.run(owner.lane.abandon())
        self.expect_nothing()

    # Everything else.

    @rule(lane=st.sampled_from(LANES))
    def wait(self, lane):
        """The waits of a lane are over."""
        self.run(self.let_time_pass(lane))

    async def let_time_pass(self, lane):
        for name, due in await self.client.zrange(keys.lane(lane, "held"), 0, -1, withscores=True):
            if due != float("inf"):
                await self.client.zadd(keys.lane(lane, "held"), {name: 1})
        self.model.waits -= set(self.model.pairs_of(lane))

    @rule(
        what=st.sampled_from(
            ["trim", "pause", "forget", "reap", "trim", "publish", "outlive", "resign", "forget"]
        )
    )
    def chore(self, what):
        """Something that has nothing to do with what the owners are at."""
        getattr(self, what)()

    def trim(self):
        """What is finished leaves the inbox, whoever does what meanwhile."""
        self.run(Housekeeper(self.client, -1).trim())
        self.model.trim({self.numbers[entry.decode()] for entry, _ in self.blocking.xrange(keys.INBOX)})

    def forget(self):
        """A handler is forgotten, if no drain of it runs."""
        left = self.run(forgetting.forget(self.client, TWO))
        mine = [lane for lane in LANES if routes.handler_of(lane) == TWO]
        waiting = sum(len(found) for pair, found in self.model.pending.items() if pair[0] == TWO)
        assert left.waiting == waiting
        if any(self.model.owner[lane] for lane in mine):
            assert left.running in mine
            self.expect_nothing()
            return
        assert left.known == (TWO in self.model.published or any(lane in self.model.states for lane in mine))
        self.model.forget(TWO)

    def publish(self):
        """The handlers are loaded again."""
        routes.publish(self.blocking, self.handlers)
        self.model.published = set(WANTED)

    def reap(self):
        """Lanes that hold events and have neither an owner nor a job are woken."""
        seen = self.look()
        forsaken = [
            lane
            for lane, state in self.model.states.items()
            if not (self.model.owner[lane] or self.model.jobs[lane])
            and not (state == "resting" and min(seen.lanes[lane].held.values()) > seen.now)
        ]
        assert sorted(self.run(self.reaper.reap())) == sorted(forsaken)
        self.model.jobs.update(forsaken)

    @invariant()
    def redis_is_as_the_model_says(self):
        """Each delivery is in one place, in order, with every attempt on record."""
        check(self.look(), self.model)

    def teardown(self):
        """In the end each delivery has ended once, in order, and nothing is left of lanes."""
        try:
            if sys.exc_info()[0] is None:  # else there is no use in going on
                self.finish_all()
        finally:
            self.run(self.close())
            self.runner.close()
            self.blocking.close()

    async def close(self):
        for task in [one.task for one in self.candidates if one.task]:
            task.cancel()
            await asyncio.wait([task])
        await self.storage.close()
        await self.client.aclose()

    def finish_all(self):
        """Leases end, somebody leads, and jobs and the reaper alone lead to what is left."""
        routes.publish(self.blocking, self.handlers)
        self.model.published = set(WANTED)
        for name in [one.lane.name for one in self.owners if self.has_lane(one)]:
            self.blocking.delete(keys.lane(name, "owner"))
            self.model.owner[name] = None
        self.blocking.delete(keys.LEASE)
        self.model.leader = None
        stale = [one for one in self.candidates if one.task]
        self.candidates.append(Candidate(self.client, self.blocking))
        self.lead_with(self.candidates[-1])
        self.dispatch_all()
        for one in stale:
            self.look()
            self.end_to_dispatch(one)
        for owner in list(self.owners):
            self.look()
            if owner.answer is None:
                self.record(owner, owner.tell(self.numbers))
        self.owners.clear()
        for _ in range(100):
            if not self.model.states:
                break
            for lane in LANES:
                self.run(self.let_time_pass(lane))
            self.reap()
            for lane in [lane for lane in LANES if self.model.jobs[lane]]:
                self.drain(lane)
            check(self.look(), self.model)
        self.check_the_end()

    def drain(self, lane):
        owner = self.begin_lane(lane)
        assert owner is not None
        for _ in range(1000):
            self.look()
            if owner.idle and self.release_lane(owner) != "more":
                return
            self.look()
            self.take(owner, 20, 10)
            self.receive_of(owner)
            while owner.startable:
                self.start_of(owner, owner.startable[0])
                owner.finish(next(iter(owner.running)), "done", self.numbers)
        raise AssertionError("it never ended")

    def check_the_end(self):
        model = self.model
        assert model.states == {}
        assert sorted(model.ended) == sorted(model.deliveries)
        for pair in model.pending:
            mine = [n for n, handler in model.ended if (handler, model.events[n].conversation) == pair]
            assert mine == sorted(mine)
        assert list(self.blocking.keys(f"{keys.PREFIX}lane:*")) == []
        self.trim()
        check(self.look(), model)
        assert len(self.seen.inbox) <= 1


@pytest.mark.timeout(modelling.PATIENCE)
def test_model(redis_server, monkeypatch):
    """Whoever dies, sleeps, or comes back: each delivery is in one place, ends once, and in order."""
    monkeypatch.setattr(dispatcher_module, "LEASE_MS", 3_600_000)
    monkeypatch.setattr(dispatcher_module, "AT_ONCE", AT_ONCE)
    monkeypatch.setattr(lanes, "LEASE_MS", 3_600_000)
    monkeypatch.setattr(lanes, "LINGERING_MS", 1_800_000)
    monkeypatch.setattr(reaper, "GRACE", 0.0)
    modelling.run(lambda: Road(redis_server.url), examples=45, steps=50)
