"""What the model-based tests share: how long they run, and lanes as they should be, in plain Python.

`MODEL_EXAMPLES=5000 scripts/test tests/pipeline/test_lanes_model.py` runs as many examples, other ones each
time; without it the suite runs a few, always the same.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from receiver.pipeline import histories, keys, routes
from receiver.pipeline.deliveries import History
from receiver.pipeline.jobs import job_prefix

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
PATIENCE = 0 if EXAMPLES else 600
"""Seconds that a test may take; 0 is no limit."""
NEVER = -1
"""What Redis says of a key that does not expire."""


def run(machine, *, examples, steps):
    """Run a state machine: the same examples each time, or as many others as MODEL_EXAMPLES says."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES or examples,
            stateful_step_count=steps,
            derandomize=not EXAMPLES,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


AT_ONCE = ("waiting 0 0", "done 1 0", "skipped 0 0")
"""States for which there is no hash."""


@dataclass
class Event:
    """An accepted event, the `n`-th one."""

    n: int
    entry: str
    conversation: str
    category: str
    identity: str


@dataclass(eq=False)
class Delivery:
    """One event at one handler."""

    n: int
    handler: str
    conversation: str
    status: str = "waiting"
    failures: int = 0
    outcomes: list[str] = field(default_factory=list)

    @property
    def lane(self):
        return routes.lane_of(self.handler, self.conversation)

    @property
    def state(self):
        return f"{self.status} {len(self.outcomes)} {self.failures}"


@dataclass
class Model:
    """Lanes as they should be: who waits for whom, who has what, and how it ended. `wanted` are the routes.

    A step is what an owner tells of an event or a conversation; it is applied when Redis has it.
    """

    wanted: dict[str, set[str]]  # handler → categories
    conversations: list[str]
    events: list[Event] = field(default_factory=list)
    deliveries: dict[tuple[int, str], Delivery] = field(default_factory=dict)
    repeats: dict[int, int] = field(default_factory=dict)
    remembered: dict[str, int] = field(default_factory=dict)  # identity → n
    dispatched: int = 0
    gone: int = 0
    swept: set[int] = field(default_factory=set)  # gone, too, from behind unfinished ones
    leader: Any = None
    published: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)  # lane → active or resting
    jobs: Counter = field(default_factory=Counter)
    stats: Counter = field(default_factory=Counter)
    dead: set[tuple[int, str]] = field(default_factory=set)
    memory: dict[tuple[str, str], bytes] = field(default_factory=dict)
    ended: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self):
        self.pending = {(handler, name): [] for handler in self.wanted for name in self.conversations}
        self.lanes = sorted({routes.lane_of(*pair) for pair in self.pending})
        self.owner = dict.fromkeys(self.lanes)
        self.taken = {lane: set() for lane in self.lanes}
        self.suspects = {lane: set() for lane in self.lanes}
        self.waits = set()
        self.overflowing = set()

    def pairs_of(self, lane):
        """Return handler and conversation of each conversation of a lane."""
        return [pair for pair in self.pending if routes.lane_of(*pair) == lane]

    def untaken(self, pair):
        lane = routes.lane_of(*pair)
        return [one.n for one in self.pending[pair] if one.n not in self.taken[lane]]

    def dispatch(self, batch, table):
        """Deliver events to the handlers in `table`; return the lanes that were asleep."""
        woken = set()
        for event in batch:
            self.dispatched += 1
            self.stats["dispatched"] += 1
            if event.identity and event.identity in self.remembered:
                self.repeats[event.n] = self.remembered[event.identity]
                self.stats["repeated"] += 1
                continue
            if event.identity:
                self.remembered[event.identity] = event.n
            for handler in sorted(table):
                if event.category in self.wanted[handler]:
                    one = Delivery(event.n, handler, event.conversation)
                    self.deliveries[event.n, handler] = one
                    self.pending[handler, event.conversation].append(one)
                    woken |= {one.lane} if self.states.get(one.lane) != "active" else set()
                    self.states[one.lane] = "active"
        return woken

    def begin(self, lane, owner):
        """Give a free lane an owner. What was taken may have begun; a suspect that was alone is blamed."""
        blamed = self._put_back(lane, blame=True)
        self.owner[lane], self.states[lane] = owner, "active"
        return blamed

    def abandon(self, lane):
        """The owner puts back what it has, and nobody is blamed."""
        self._put_back(lane, blame=False)
        self.owner[lane] = None

    def _put_back(self, lane, *, blame):
        handler = routes.handler_of(lane)
        blamed = len(self.taken[lane]) == 1 and blame and self.taken[lane] <= self.suspects[lane]
        self.overflowing -= set(self.pairs_of(lane))
        for n in self.taken[lane]:
            one = self.deliveries[n, handler]
            one.status = "retrying"
            one.outcomes.append("cut off")
            one.failures += blamed
            if blamed:
                self.waits.add((handler, one.conversation))
        if blame:
            self.suspects[lane] |= self.taken[lane]
        self.taken[lane] = set()
        return blamed

    def take(self, lane, given, overflowing):
        handler = routes.handler_of(lane)
        self.taken[lane] |= set(given)
        self.overflowing |= {(handler, name) for name in overflowing}

    def settle(self, lane, steps):
        """Apply what an owner tells. What it has told before changes nothing."""
        handler = routes.handler_of(lane)
        for step, about, *more in steps:
            if step == "resume":
                self.overflowing.discard((handler, about))
            elif about in self.taken[lane]:
                getattr(self, f"_{step}")(lane, self.deliveries[about, handler], *more)

    def _leave(self, lane, one):
        self.taken[lane].discard(one.n)
        self.suspects[lane].discard(one.n)

    def _record(self, one, status, outcome):
        one.status = status
        one.outcomes += [outcome] if outcome else []
        one.failures += outcome == "failed"
        self.stats[f"{status} {one.handler}"] += 1

    def _end(self, lane, one, status, outcome):
        assert self.pending[one.handler, one.conversation].pop(0) is one, "ended out of order"
        self._leave(lane, one)
        self._record(one, status, outcome)
        self.ended.append((one.n, one.handler))
        if status == "dead":
            self.dead.add((one.n, one.handler))

    def _remember(self, lane, one, state):
        self.memory[one.handler, one.conversation] = state

    def _retry(self, lane, one, wait, behind):
        pair = (one.handler, one.conversation)
        self._record(one, "retrying", "failed")
        for other in (one, *(self.deliveries[n, one.handler] for n in behind)):
            assert other.n in self.taken[lane]
            self._leave(lane, other)
        self.overflowing.discard(pair)
        if wait:
            self.waits.add(pair)

    def _back(self, lane, one):
        self.taken[lane].discard(one.n)
        self.overflowing.discard((one.handler, one.conversation))

    def forget(self, handler):
        """Skip all that waits for a handler."""
        self.published.discard(handler)
        for pair, waiting in self.pending.items():
            if pair[0] == handler:
                for one in waiting:
                    self._record(one, "skipped", None)
                    self.ended.append((one.n, handler))
                waiting.clear()
        for lane in self.lanes:
            if routes.handler_of(lane) == handler:
                self.waits -= set(self.pairs_of(lane))
                self.overflowing -= set(self.pairs_of(lane))
                self.taken[lane], self.suspects[lane] = set(), set()
                self.states.pop(lane, None)

    def trim(self, left):
        """Drop what is finished, from the oldest on. Behind the first that isn't, `left` tells what went."""
        unfinished = {one.n for waiting in self.pending.values() for one in waiting}
        self.gone = max(self.gone, min([self.dispatched - 1, *unfinished]))
        self.swept = set(range(self.gone, len(self.events))) - left
        assert not self.swept & unfinished
        assert max(self.swept, default=0) < max(1, self.dispatched)


@dataclass
class LaneSeen:
    """A lane, as it lies in Redis; events by their numbers."""

    queue: list[int]
    taken: set[int]
    suspects: set[int]
    held: dict[str, float]
    owner: str | None
    is_endless: bool
    parked: dict[str, list[int]]

    def of(self, waiting):
        """Return what waits of the events `waiting`, in the order in which it is given."""
        parked = [n for name in sorted(self.parked) for n in self.parked[name]]
        return [n for n in parked + self.queue if n in waiting]


@dataclass
class Seen:
    """All that a model speaks of, as it lies in Redis."""

    now: float
    states: dict[str, str]
    stats: Counter
    cursor: str
    leader: str | None
    is_endless: bool
    dead: set[tuple[int, str]]
    inbox: list[str]
    lanes: dict[str, LaneSeen]
    deliveries: list[dict[str, bytes]]
    histories: list[History]
    jobs: Counter
    memory: dict[tuple[str, str], bytes]


async def look(client, model):
    """Read it, in one round trip."""
    numbers = {event.entry: event.n for event in model.events}
    memory = list(model.pending)
    queues = [routes.queue_of(handler) for handler in model.wanted]
    pipeline = client.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(keys.LANES)
    pipeline.hgetall(keys.STATS)
    pipeline.get(keys.CURSOR)
    pipeline.get(keys.LEASE)
    pipeline.pttl(keys.LEASE)
    pipeline.zrange(keys.DEAD, 0, -1)
    pipeline.xrange(keys.INBOX)
    pipeline.mget([keys.state(*pair) for pair in memory])
    for name in queues:
        pipeline.lrange(f"rq:queue:{name}", 0, -1)
    for lane in model.lanes:
        pipeline.lrange(keys.lane(lane, "queue"), 0, -1)
        pipeline.smembers(keys.lane(lane, "taken"))
        pipeline.smembers(keys.lane(lane, "suspects"))
        pipeline.zrange(keys.lane(lane, "held"), 0, -1, withscores=True)
        pipeline.get(keys.lane(lane, "owner"))
        pipeline.pttl(keys.lane(lane, "owner"))
        for _, name in model.pairs_of(lane):
            pipeline.lrange(keys.lane(lane, f"parked:{name}"), 0, -1)
    for event in model.events:
        pipeline.hgetall(keys.event(event.entry))
    answers = iter(await pipeline.execute())

    def numbered():
        return [numbers[entry.decode()] for entry in next(answers)]

    seconds, micros = next(answers)
    states = {lane.decode(): state.decode() for lane, state in next(answers).items()}
    stats = Counter({name.decode(): int(count) for name, count in next(answers).items()})
    cursor = (next(answers) or b"0-0").decode()
    leader = (next(answers) or b"").decode() or None
    is_endless = next(answers) == NEVER
    letters = [name.decode().split(" ", 1) for name in next(answers)]
    inbox = [entry.decode() for entry, _ in next(answers)]
    memory = dict(zip(memory, next(answers), strict=True))
    jobs = [job.decode() for _ in queues for job in next(answers)]
    lanes = {}
    for lane in model.lanes:
        lanes[lane] = LaneSeen(
            queue=numbered(),
            taken=set(numbered()),
            suspects=set(numbered()),
            held={name.decode(): score for name, score in next(answers)},
            owner=(next(answers) or b"").decode() or None,
            is_endless=next(answers) == NEVER,
            parked={name: numbered() for _, name in model.pairs_of(lane)},
        )
    return Seen(
        now=seconds * 1000 + micros / 1000,
        states=states,
        stats=stats,
        cursor=cursor,
        leader=leader,
        is_endless=is_endless,
        dead={(numbers[entry], handler) for entry, handler in letters},
        inbox=inbox,
        lanes=lanes,
        deliveries=[{name.decode(): value for name, value in found.items()} for found in answers],
        histories=await histories.load(client, [event.entry for event in model.events]),
        jobs=+Counter({lane: sum(job.startswith(job_prefix(lane)) for job in jobs) for lane in model.lanes}),
        memory={pair: value for pair, value in memory.items() if value is not None},
    )


def check(seen, model):
    """What lies in Redis is what the model says."""
    entries = [event.entry for event in model.events]
    assert seen.inbox == [
        entry for n, entry in enumerate(entries) if n >= model.gone and n not in model.swept
    ]
    assert seen.cursor == (entries[model.dispatched - 1] if model.dispatched else "0-0")
    assert seen.leader == (model.leader and model.leader.token)
    assert not seen.is_endless
    assert (seen.states, seen.jobs) == (model.states, +model.jobs)
    assert (seen.stats, seen.dead, seen.memory) == (+model.stats, model.dead, model.memory)
    for event, stored, history in zip(model.events, seen.deliveries, seen.histories, strict=True):
        _check_deliveries(event, stored, history, model)
    for lane, one in seen.lanes.items():
        _check_lane(lane, one, seen.now, model)


def _check_deliveries(event, stored, history, model):
    """Each delivery is as it should be, and each of its attempts is on record; a repeat has none."""
    mine = [one for (n, _), one in model.deliveries.items() if n == event.n]
    if event.n < model.gone or event.n in model.swept:
        if not any(n == event.n for n, _ in model.dead):
            assert stored == {}
            return
        mine = [one for one in mine if one.handler in stored or one.state not in AT_ONCE]
    if event.n in model.repeats:
        original = model.events[model.repeats[event.n]].entry
        assert stored == {"repeats": original.encode()}
        return
    assert [one.handler for one in history.deliveries] == [one.handler for one in mine]
    for one, delivery in zip(mine, history.deliveries, strict=True):
        assert one.state in AT_ONCE or stored[one.handler] == one.state.encode()
        assert delivery.status == one.status
        assert [attempt.outcome for attempt in delivery.attempts] == one.outcomes
        assert [attempt.number for attempt in delivery.attempts] == list(range(1, len(one.outcomes) + 1))


def _check_lane(lane, one, now, model):
    """Each unfinished delivery of a lane is in one place of it, and each conversation in order."""
    assert one.owner == (model.owner[lane] and model.owner[lane].lane.token)
    assert not one.is_endless
    assert one.taken == model.taken[lane]
    assert one.suspects == model.suspects[lane]
    assert set(one.held) == {name for name, waiting in one.parked.items() if waiting}
    places = [*one.queue, *one.taken, *(n for waiting in one.parked.values() for n in waiting)]
    pairs = model.pairs_of(lane)
    assert sorted(places) == sorted(each.n for pair in pairs for each in model.pending[pair])
    for pair in pairs:
        waiting = [each.n for each in model.pending[pair]]
        assert sorted(one.taken & set(waiting)) + one.of(waiting) == waiting
        score = one.held.get(pair[1], 0.0)
        assert (score == float("inf")) == (pair in model.overflowing)
        assert (now < score < float("inf")) == (pair in model.waits)
