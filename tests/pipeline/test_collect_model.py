"""Collects against a model: whatever is gathered, cancelled, failed or killed, in whatever order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import orjson
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from receiver.errors import Permanent
from receiver.pipeline import histories, keys, routes
from receiver.pipeline.connection import connect
from receiver.pipeline.housekeeping import Housekeeper
from receiver.plugins import Handlers
from tests.pipeline.collecting import DIGEST, GATHER, crash, let_time_pass
from tests.pipeline.conftest import Road


def apart(count, handler):
    """Return names in lanes of their own."""
    found = {}
    for n in range(200):
        found.setdefault(routes.lane_of(handler, f"n{n}"), f"n{n}")
    return list(found.values())[:count]


CONVERSATIONS = apart(3, GATHER)
KEYS = apart(2, DIGEST)
KEYS += [
    next(f"m{n}" for n in range(200) if routes.lane_of(DIGEST, f"m{n}") == routes.lane_of(DIGEST, KEYS[0]))
]
MOST = 3
OPEN = ("waiting", "retrying")

names = st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True)
conversations = st.sampled_from(CONVERSATIONS)


@dataclass
class Closed:
    """A closed batch: all that it was closed with, what has cancelled it, whether it is over."""

    key: str
    events: list[int]
    cancelled: int = -1
    over: bool = False

    @property
    def left(self):
        return [n for n in self.events if n >= self.cancelled]


@dataclass
class Model:
    """What should be: in plain Python, without lanes, leases, or entries."""

    events: list[str] = field(default_factory=list)  # n → conversation
    pending: dict[str, list] = field(default_factory=lambda: {name: [] for name in CONVERSATIONS})
    gathered: dict[str, set[int]] = field(default_factory=lambda: {key: set() for key in KEYS})
    due: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(KEYS, False))
    batches: dict[str, Closed] = field(default_factory=dict)
    ever: set[tuple[int, str]] = field(default_factory=set)
    ended: list[tuple[int, str]] = field(default_factory=list)

    def unfinished(self, key):
        return [one for one in self.batches.values() if one.key == key and not one.over]

    def gather(self, n, wanted):
        for key in wanted:
            self.gathered[key].add(n)
            self.ever.add((n, key))
            self.due[key] = len(self.gathered[key]) >= MOST

    def cancel(self, n, wanted, only):
        for key in wanted:
            dropped = {m for m in self.gathered[key] if m < n and only in (None, self.events[m])}
            self.gathered[key] -= dropped
            self.ended += [(m, key) for m in dropped]
            for batch in self.unfinished(key) if only is None else ():
                batch.cancelled = max(batch.cancelled, n)

    def close(self, event_id, key, events):
        """The real thing has closed a batch."""
        assert self.unfinished(key) == [], "two batches of a key at once"
        assert self.due[key], "closed too early"
        assert events == sorted(self.gathered[key])[:MOST]
        self.gathered[key] -= set(events)
        self.due[key] = len(self.gathered[key]) >= MOST
        self.batches[event_id] = Closed(key, events)

    def end(self, event_id):
        batch = self.batches[event_id]
        assert not batch.over
        batch.over = True
        self.ended += [(n, batch.key) for n in batch.events]


class Collects(RuleBasedStateMachine):
    """The real thing beside the model."""

    def __init__(self, url):
        super().__init__()
        with redis.Redis.from_url(url) as client:
            client.flushall()
        self.runner = asyncio.Runner()
        self.client = connect(url)
        self.blocking = redis.Redis.from_url(url)
        self.road = Road(self.client, self.blocking)
        self.road.handlers = Handlers("test")
        self.collect = self.road.handlers.collect(quiet=3600, longest=86_400, most=MOST, retries=1000)(
            self.digest
        )
        self.road.handlers.on("*", name="gather", retries=1000)(self.handle)
        self.model = Model()
        self.entries = {}
        self.seen = "0-0"
        self.outcomes = []
        self.log = []

    def run(self, work):
        return self.runner.run(work)

    async def handle(self, event, context):
        raw = event.raw
        if "gather" in raw:
            await context.gather(self.collect, *raw["gather"])
        else:
            await context.cancel(self.collect, *raw["cancel"], conversation=raw["only"])
        if context.attempt <= raw["fail"]:
            context.retry_after(0)

    async def digest(self, batch, context):
        assert await self.unfinished(batch.key) == [batch.id], "two batches of a key at once"
        outcome = self.outcomes.pop(0) if self.outcomes else "done"
        self.log.append((batch.id, batch.key, [event.raw["n"] for event in batch.events]))
        if outcome == "fail":
            context.retry_after(3600)
        if outcome == "dead":
            raise Permanent("no")

    async def unfinished(self, key):
        """Return the ids of the key's batches that are closed and not over."""
        found = []
        for entry, fields in await self.client.xrange(keys.INBOX):
            if (fields[b"source"], fields[b"conversation"]) == (b"batch", key.encode()):
                [history] = await histories.load(self.client, [entry.decode()])
                if history.deliveries[0].status in OPEN:
                    found.append(fields[b"id"].decode())
        return found

    async def append(self, conversation, **body):
        n = len(self.model.events)
        self.model.events.append(conversation)
        self.model.pending[conversation].append((n, body))
        event_id = await self.road.append(conversation, n=n, **body)
        entry, _ = await self.road.inbox.find(event_id)
        self.entries[entry] = n

    async def lanes(self, handler):
        return [lane for lane in await self.road.lanes() if routes.handler_of(lane) == handler]

    async def observe(self):
        """Tell the model which batches have closed, been attempted, and ended."""
        for entry, fields in await self.client.xrange(keys.INBOX, min=f"({self.seen}"):
            self.seen = entry.decode()
            if fields[b"source"] == b"batch":
                body = orjson.loads(fields[b"body"])
                events = [self.entries[one] for one in body["events"]]
                assert body["key"] == fields[b"conversation"].decode()
                if self.model.unfinished(body["key"]):  # it has ended since: see which attempts it had
                    await self.attempted()
                self.model.close(fields[b"id"].decode(), body["key"], events)
                self.entries[entry.decode()] = fields[b"id"].decode()
        await self.attempted()

    async def attempted(self):
        """Check the attempts of the batches that the model knows, and which of these have ended."""
        known = [one for one in self.log if one[0] in self.model.batches]
        self.log = [one for one in self.log if one[0] not in self.model.batches]
        for event_id, key, events in known:
            batch = self.model.batches[event_id]
            assert not batch.over, "handed over again"
            assert (batch.key, batch.left) == (key, events)
        ids = {name: entry for entry, name in self.entries.items() if isinstance(name, str)}
        for event_id, batch in self.model.batches.items():
            if batch.over:
                continue
            [history] = await histories.load(self.client, [ids[event_id]])
            [delivery] = history.deliveries
            if delivery.status not in OPEN:
                assert (delivery.status == "skipped") == (batch.left == [])
                self.model.end(event_id)

    async def handle_pending(self, conversation):
        await self.road.dispatch()
        lane = routes.lane_of(GATHER, conversation)
        while lane in await self.road.lanes():
            await let_time_pass(self.road, lane)
            await self.road.drain_lane(lane)
        for n, body in self.model.pending[conversation]:
            if "gather" in body:
                self.model.gather(n, body["gather"])
            else:
                self.model.cancel(n, body["cancel"], body["only"])
        self.model.pending[conversation].clear()

    async def drain(self):
        for lane in await self.lanes(DIGEST):
            await self.road.drain_lane(lane)
        await self.observe()
        waits = {key for key in KEYS if self.model.due[key] and self.model.gathered[key]}
        assert all(self.model.unfinished(key) for key in waits), "not closed though due"

    async def pass_time(self):
        for lane in await self.lanes(DIGEST):
            await let_time_pass(self.road, lane)
        for key in KEYS:
            self.model.due[key] = bool(self.model.gathered[key])

    @initialize()
    def lead(self):
        """The gathering handler is known."""
        self.run(self.road.lead())

    @rule(conversation=conversations, wanted=names, fail=st.integers(0, 1), at_once=st.booleans())
    def gather(self, conversation, wanted, fail, at_once):
        """An event is gathered, at once or later, with a repeated attempt or without."""
        self.run(self.append(conversation, gather=wanted, fail=fail))
        if at_once:
            self.run(self.handle_pending(conversation))

    @rule(conversation=conversations, wanted=names, only=st.none() | conversations, fail=st.integers(0, 1))
    def cancel(self, conversation, wanted, only, fail):
        """An event cancels keys, for all conversations or one."""
        self.run(self.append(conversation, cancel=wanted, only=only, fail=fail))
        self.run(self.handle_pending(conversation))

    @rule(conversation=conversations)
    def catch_up(self, conversation):
        """What waits for the gathering handler is handled."""
        self.run(self.handle_pending(conversation))

    @rule(outcomes=st.lists(st.sampled_from(["done", "fail", "fail", "dead"]), max_size=6))
    def digest_some(self, outcomes):
        """Everything that is due is handed over, with these outcomes."""
        self.outcomes = outcomes
        self.run(self.drain())
        self.outcomes = []

    @rule()
    def wait(self):
        """All windows and waits are over."""
        self.run(self.pass_time())

    @rule(which=st.integers(0, 1))
    def die(self, which):
        """A drain closes what is due, takes it, and dies."""
        lanes = self.run(self.lanes(DIGEST))
        if which < len(lanes):
            self.run(crash(self.road, lanes[which], self.collect.window))
            self.run(self.observe())

    @rule()
    def stop(self):
        """A worker that stops begins its lanes, and lets them go."""
        self.road.stopping = True
        self.run(self.drain_all_only())
        self.road.stopping = False

    async def drain_all_only(self):
        for lane in await self.lanes(DIGEST):
            await self.road.drain_lane(lane)
        await self.observe()

    @rule()
    def trim(self):
        """The inbox is trimmed without any retention."""
        self.run(Housekeeper(self.client, -1).trim())

    @invariant()
    def nothing_needed_is_gone(self):
        """What is gathered, or in a batch that isn't over, is in the inbox, and the lane is known."""
        needed = {n for events in self.model.gathered.values() for n in events}
        needed |= {n for batch in self.model.batches.values() if not batch.over for n in batch.events}
        there = {entry.decode() for entry, _ in self.run(self.client.xrange(keys.INBOX))}
        assert all(entry in there for entry, n in self.entries.items() if n in needed)
        lanes = self.run(self.lanes(DIGEST))
        for key in KEYS:
            if self.model.gathered[key] or self.model.unfinished(key):
                assert routes.lane_of(DIGEST, key) in lanes

    def teardown(self):
        """In the end each gathered event is in one batch that is over, or was cancelled; nothing is left."""
        try:
            self.run(self.finish())
        finally:
            self.run(self.client.aclose())
            self.runner.close()
            self.blocking.close()

    async def finish(self):
        for conversation in CONVERSATIONS:
            await self.handle_pending(conversation)
        for _ in range(100):
            if not await self.lanes(DIGEST):
                break
            await self.pass_time()
            await self.drain()
        assert sorted(self.model.ended) == sorted(self.model.ever)
        assert not any(self.model.gathered.values())
        assert await self.client.keys(keys.PREFIX + "lane:*") == []
        await self.road.dispatch()
        await Housekeeper(self.client, -1).trim()
        assert await self.client.xlen(keys.INBOX) <= 1


def test_model(redis_server):
    """Each gathered event is handed over in one batch or cancelled, in order, one of a key at a time."""
    run_state_machine_as_test(
        lambda: Collects(redis_server.url),
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
