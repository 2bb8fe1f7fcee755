"""Drains: one conversation in order, different ones at once, every attempt on record."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from receiver import logs, redaction
from receiver.errors import Fenced, Permanent, SendbirdRefused, SendbirdUnavailable
from receiver.intake import Intake
from receiver.pipeline import attempts, keys, lanes, routes
from receiver.pipeline import drain as drain_module
from receiver.pipeline.attempts import backoff
from receiver.pipeline.connection import connect_many
from receiver.pipeline.drain import WINDOW
from receiver.pipeline.lanes import Lane
from receiver.pipeline.pace import SHARE
from receiver.signature import sign

HANDLER = "test.h"


def on(road, handler, **options):
    road.handlers.on("*", name="h", **options)(handler)


async def run_until_empty(road):
    """Dispatch, and drain until no lane holds anything. Waits pass in no time."""
    await road.dispatch()
    while lanes := await road.lanes():
        for lane in lanes:
            await let_time_pass(road, lane)
        await road.drain()


async def test_a_handler_gets_the_event_and_the_delivery_is_done(road):
    """The handler sees the body, and the delivery records one attempt that was done."""
    seen = []

    async def handler(event, context):
        seen.append((event.id, event.raw["n"], context.attempt, context.handler))

    on(road, handler)
    event_id = await road.append(n=7)
    await road.dispatch()
    left = await road.drain()
    assert seen == [(event_id, 7, 1, HANDLER)]
    assert [one.state for one in left.values()] == ["empty"]
    delivery = await road.delivery(event_id)
    assert delivery.status == "done"
    assert [(one.number, one.outcome) for one in delivery.attempts] == [(1, "done")]
    assert await road.lanes() == []


async def test_nothing_is_left_behind_in_redis(road):
    """A drained lane leaves no keys but the event's own record."""

    async def handler(event, context):
        pass

    on(road, handler)
    await road.append()
    await run_until_empty(road)
    left = {key.decode() for key in await road.client.keys(keys.PREFIX + "lane*")}
    assert left == set()


async def test_one_conversation_runs_in_order_and_different_ones_at_once(road):
    """Two conversations of one lane overlap; the events of each follow one another."""
    inside, overlaps, order = set(), [], []

    async def handler(event, context):
        assert event.conversation not in inside
        inside.add(event.conversation)
        overlaps.append(len(inside))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        inside.discard(event.conversation)
        order.append((event.conversation, event.raw["n"]))

    on(road, handler)
    pair = same_lane(2)
    for n in range(10):
        for conversation in pair:
            await road.append(conversation, n=n)
    await run_until_empty(road)
    assert max(overlaps) == 2
    for conversation in pair:
        assert [n for name, n in order if name == conversation] == list(range(10))


async def test_a_failing_event_holds_its_own_conversation_only(road):
    """While one conversation waits for its retry the other goes on; then the first goes on in order."""
    order, failures = [], [1, 2]

    async def handler(event, context):
        if event.conversation == stuck and event.raw["n"] == 1 and failures:
            failures.pop()
            context.retry_after(0.05)
        order.append((event.conversation, event.raw["n"]))

    on(road, handler)
    stuck, free = same_lane(2)
    for n in range(4):
        await road.append(stuck, n=n)
    for n in range(4):
        await road.append(free, n=n)
    await run_until_empty(road)
    assert [n for name, n in order if name == stuck] == [0, 1, 2, 3]
    assert order.index((free, 3)) < order.index((stuck, 1))


async def test_later_events_of_a_held_conversation_wait_behind_it(road):
    """Events that come while their conversation is held are handled after the held one."""
    order, gate = [], [True]

    async def handler(event, context):
        if gate:
            context.retry_after(0.05)
        order.append(event.raw["n"])

    on(road, handler)
    await road.append(n=0)
    await road.dispatch()
    [left] = (await road.drain()).values()
    assert left.state == "resting"
    gate.clear()
    for n in range(1, 4):
        await road.append(n=n)
    await run_until_empty(road)
    assert order == [0, 1, 2, 3]


async def test_every_attempt_is_added_to_the_history(road, monkeypatch):
    """A retry adds an attempt with its error and traceback, and overwrites nothing."""

    async def handler(event, context):
        if context.attempt < 3:
            raise ValueError(f"no luck {context.attempt}")

    on(road, handler)
    monkeypatch.setattr(attempts, "FIRST_WAIT", 0.01)
    event_id = await road.append()
    await run_until_empty(road)
    delivery = await road.delivery(event_id)
    assert delivery.status == "done"
    assert [(one.number, one.outcome, one.error) for one in delivery.attempts] == [
        (1, "failed", "ValueError: no luck 1"),
        (2, "failed", "ValueError: no luck 2"),
        (3, "done", None),
    ]
    assert "in handler" in delivery.attempts[0].traceback


@pytest.mark.parametrize("where", ["handler", "predicate", "thread", "permanent"])
async def test_a_stored_error_repeats_no_secret(road, where):
    """A stored error, its causes and its traceback hold no secret and nothing that was written."""
    redaction.learn("a-secret-of-ours")

    def fail(event, context=None):
        kind = Permanent if where == "permanent" else ValueError
        try:
            raise KeyError(event.raw)
        except KeyError as error:
            raise kind(f"a-secret-of-ours {event.raw} {event.raw['message']!r}") from error

    async def handler(event, context):
        fail(event)

    options = {"where": fail} if where == "predicate" else {}
    on(road, fail if where == "thread" else handler, retries=0, **options)
    event_id = await road.append(message="a letter to Ada", n=1)
    await run_until_empty(road)
    delivery = await road.delivery(event_id)
    assert delivery.status == "dead"
    stored = repr(delivery)
    assert "a-secret-of-ours" not in stored
    assert "a letter to Ada" not in stored
    assert "'message': '***'" in stored
    assert "in fail" in delivery.attempts[0].traceback


async def test_a_log_line_of_a_handler_repeats_nothing_that_was_written(road, capsys):
    """What a handler logs of its event's texts is masked, in a thread, too; afterwards nothing is."""
    logs.configure("json")

    async def handler(event, context):
        context.log.info("a", text=event.raw["message"])
        await asyncio.to_thread(context.log.info, f"b {event.raw}")

    on(road, handler)
    await road.append(message="a letter to Ada", n=1)
    await run_until_empty(road)
    structlog.get_logger("after").info("a letter to Ada")
    said = capsys.readouterr().err
    assert said.count("a letter to Ada") == 1
    assert said.count("***") == 2


async def test_half_an_emoji_costs_nothing(road):
    """A body that is JSON to no strict reader reaches its handler, and its error can be recorded."""
    seen = []

    async def handler(event, context):
        seen.append(event.raw["text"])
        raise SendbirdRefused(event.raw["text"])

    on(road, handler, type="MESG")
    intake = Intake([b"t"])
    body = b'{"category":"a:b","type":"MESG","channel":{"channel_url":"c\\ud83d"},"text":"\\ud83d"}'
    envelope = intake.webhook(sign(b"t", body), body)
    await road.storage.append(envelope)
    await run_until_empty(road)
    assert seen == ["\ud83d"]
    delivery = await road.delivery(envelope.id)
    assert delivery.attempts[0].error == "SendbirdRefused: ?"


async def test_a_long_error_is_kept_in_part(road):
    """Of an error the beginning is kept, of a traceback the end."""

    async def handler(event, context):
        raise SendbirdRefused("x" * 100_000)

    on(road, handler)
    event_id = await road.append()
    await run_until_empty(road)
    [attempt] = (await road.delivery(event_id)).attempts
    assert attempt.error.startswith("SendbirdRefused: xxx")
    assert len(attempt.error) == 2_000
    assert len(attempt.traceback) == 20_000


async def test_spent_retries_make_a_dead_letter_and_the_conversation_goes_on(road):
    """After the last attempt the event is a dead letter with a copy of its own; the next one runs."""
    order = []

    async def handler(event, context):
        if event.raw["n"] == 0:
            context.retry_after(0)
        order.append(event.raw["n"])

    on(road, handler, retries=2)
    dead = await road.append(n=0)
    await road.append(n=1)
    await run_until_empty(road)
    assert order == [1]
    delivery = await road.delivery(dead)
    assert delivery.status == "dead"
    assert len(delivery.attempts) == 3
    entry, envelope = await road.inbox.find(dead)
    assert await road.client.zrange(keys.DEAD, 0, -1) == [f"{entry} {HANDLER}".encode()]
    letter = await road.client.hgetall(keys.letter(entry))
    assert letter[b"id"].decode() == dead
    assert letter[b"body"] == envelope.body


async def test_what_sendbird_refuses_for_good_is_not_tried_again(road):
    """A permanent refusal makes a dead letter at once."""

    async def handler(event, context):
        raise SendbirdRefused("no such channel", status=400, code=400201)

    on(road, handler)
    event_id = await road.append()
    await run_until_empty(road)
    delivery = await road.delivery(event_id)
    assert (delivery.status, len(delivery.attempts)) == ("dead", 1)


async def test_the_wait_that_sendbird_names_is_honoured(road):
    """A rate limit's own wait decides when the next attempt is due."""

    async def handler(event, context):
        raise SendbirdUnavailable("slow down", status=429, retry_after=1234.0)

    on(road, handler)
    await road.append()
    await road.dispatch()
    before = time.time()
    [left] = (await road.drain()).values()
    assert left.state == "resting"
    assert before + 1233 < left.due / 1000 < time.time() + 1235


@pytest.mark.parametrize("attempts", range(1, 40))
def test_waits_grow_and_end_at_a_limit(attempts):
    """The wait doubles with each attempt, varies by chance, and never passes ten minutes."""
    longest = min(600.0, 2.0 ** (attempts - 1))
    assert all(longest / 2 <= backoff(attempts) <= longest for _ in range(20))


async def test_an_async_handler_that_hangs_is_cut_off(road):
    """An `async def` that doesn't end in time fails with its timeout, and is cancelled."""
    cancelled = []

    async def handler(event, context):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(event.id)
            raise

    on(road, handler, timeout=0.02, retries=0)
    event_id = await road.append()
    await run_until_empty(road)
    delivery = await road.delivery(event_id)
    assert (delivery.status, delivery.attempts[0].outcome) == ("dead", "timed out")
    assert cancelled == [event_id]


async def test_a_plain_function_that_hangs_is_given_up(road):
    """A `def` that doesn't end in time fails with its timeout; other conversations go on meanwhile."""
    release, seen = threading.Event(), []

    def handler(event, context):
        if event.conversation == stuck:
            release.wait(30)
        seen.append(event.conversation)

    on(road, handler, timeout=0.2, retries=0)
    stuck, free = same_lane(2)
    event_id = await road.append(stuck)
    await road.append(free)
    await run_until_empty(road)
    assert seen == [free]
    release.set()
    delivery = await road.delivery(event_id)
    assert (delivery.status, delivery.attempts[0].outcome) == ("dead", "timed out")


async def test_a_handlers_own_timeout_error_is_a_failure(road):
    """A TimeoutError that a handler raises itself is not taken for its time limit."""

    async def handler(event, context):
        raise TimeoutError("the printer is slow")

    on(road, handler, retries=0)
    event_id = await road.append()
    await run_until_empty(road)
    assert (await road.delivery(event_id)).attempts[0].outcome == "failed"


async def test_a_predicate_skips(road):
    """An event that `where` turns down is skipped without an attempt."""

    async def handler(event, context):
        raise AssertionError

    on(road, handler, where=lambda event: False)
    event_id = await road.append()
    await run_until_empty(road)
    delivery = await road.delivery(event_id)
    assert (delivery.status, delivery.attempts) == ("skipped", ())


async def test_messages_of_known_bots_are_marked(road):
    """An event whose sender is a known bot says so."""
    marks = {}

    async def handler(event, context):
        marks[event.sender.user_id] = event.from_bot

    on(road, handler)
    road.bots = frozenset({"helper"})
    for user in ("ada", "helper"):
        await road.append(type="MESG", sender={"user_id": user}, payload={"message": "hi"})
    await run_until_empty(road)
    assert marks == {"ada": False, "helper": True}


async def test_once_guards_an_effect_across_attempts(road):
    """An effect under `once` that succeeded is not repeated by the next attempt; one that failed is."""
    effects = []

    async def handler(event, context):
        async with context.once("first") as first:
            if first:
                effects.append("first")
        async with context.once("second") as first:
            if first:
                effects.append("second")
                if context.attempt == 1:
                    context.retry_after(0)

    on(road, handler)
    await road.append()
    await run_until_empty(road)
    assert effects == ["first", "second", "second"]


async def test_a_busy_conversation_does_not_fill_the_window(road):
    """Behind a long backlog of a slow conversation, others in its lane run at once, and order holds."""
    order, gate = [], asyncio.Event()

    async def handler(event, context):
        if event.conversation == busy:
            await gate.wait()
        else:
            gate.set()
        order.append((event.conversation, event.raw["n"]))

    on(road, handler)
    busy, other = same_lane(2)
    for n in range(WINDOW + 3 * SHARE):
        await road.append(busy, n=n)
    await road.append(other, n=0)
    await run_until_empty(road)
    assert order[0] == (other, 0)
    assert [n for name, n in order if name == busy] == list(range(WINDOW + 3 * SHARE))


async def test_events_that_come_while_a_handler_is_slow_are_taken(road):
    """A drain that waits for a slow conversation notices new events of others."""
    gate, order = asyncio.Event(), []

    async def handler(event, context):
        if event.conversation == slow:
            await gate.wait()
        order.append(event.conversation)
        gate.set()

    on(road, handler)
    slow, other = same_lane(2)
    await road.append(slow)
    await road.dispatch()
    draining = asyncio.create_task(road.drain())
    await wait_until(lambda: road.client.scard(keys.lane(lane_of(slow), "taken")))
    await road.append(other)
    await road.dispatch()
    await draining
    assert order == [other, slow]


async def test_a_second_drain_of_an_owned_lane_ends_at_once(road):
    """Only one drain of a lane lives."""

    async def handler(event, context):
        pass

    on(road, handler)
    await road.append()
    await road.dispatch()
    lane = lane_of("c1")
    owner = Lane(road.client, lane)
    assert await owner.begin() == 0
    assert not await road.drain_of(lane).begin()


async def test_a_drain_that_lost_its_lane_is_fenced(road):
    """A drain whose lease passed to another records nothing more, and its handlers are cancelled."""
    started, cancelled = asyncio.Event(), []

    async def handler(event, context):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(event.id)
            raise

    on(road, handler)
    event_id = await road.append()
    await road.dispatch()
    draining = asyncio.create_task(road.drain())
    await started.wait()
    await road.client.delete(keys.lane(lane_of("c1"), "owner"))
    other = Lane(road.client, lane_of("c1"))
    assert await other.begin() == 1
    with pytest.raises(Fenced):
        await draining
    assert cancelled == [event_id]
    assert (await road.delivery(event_id)).attempts[0].outcome == "cut off"


async def test_a_stopping_drain_hands_back_what_it_has_not_begun(road):
    """Told to stop, a drain ends what runs, gives back the rest in order, and leaves the lane free."""
    order, started, gate = [], asyncio.Event(), asyncio.Event()

    async def handler(event, context):
        started.set()
        await gate.wait()
        order.append(event.raw["n"])

    on(road, handler)
    for n in range(5):
        await road.append(n=n)
    await road.dispatch()
    drain = road.drain_of(lane_of("c1"))
    assert await drain.begin()
    draining = asyncio.create_task(drain.run())
    await started.wait()
    road.stopping = True
    drain.wake()
    gate.set()
    left = await draining
    assert left.state == "more"
    assert order == [0]
    assert await road.client.exists(keys.lane(lane_of("c1"), "owner")) == 0
    road.stopping = False
    await run_until_empty(road)
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cut_off", [False, True])
async def test_a_lane_is_in_order_after_a_stop(road, cut_off):
    """What a drain gives back stands in the order of acceptance, whatever ran: housekeeping goes by that."""
    same = [name for name in map(str, range(500)) if lane_of(name) == lane_of("c1")][:3]
    started, gate = [], asyncio.Event()

    async def handler(event, context):
        started.append(event.conversation)
        if event.raw["n"] != 3:
            await gate.wait()

    on(road, handler, concurrency=2)
    for n, name in enumerate([same[0], same[1], same[0], same[2], same[1], same[0]]):
        await road.append(name, n=n)
    await road.dispatch()
    queue = keys.lane(lane_of("c1"), "queue")
    before = await road.client.lrange(queue, 0, -1)
    drain = road.drain_of(lane_of("c1"))
    assert await drain.begin()
    draining = asyncio.create_task(drain.run())
    while len(started) < 2:
        await asyncio.sleep(0)
    road.stopping, road.out_of_time = True, cut_off
    drain.wake()
    if not cut_off:
        gate.set()
    await draining
    left = await road.client.lrange(queue, 0, -1)
    assert left == (before if cut_off else before[2:])


async def test_a_full_slice_gives_way(road, monkeypatch):
    """A drain whose slice is over leaves the lane with its events, and the next one goes on in order."""
    order = []

    async def handler(event, context):
        order.append(event.raw["n"])

    on(road, handler)
    monkeypatch.setattr(drain_module, "SLICE", 0.0)
    for n in range(3):
        await road.append(n=n)
    await road.dispatch()
    [left] = (await road.drain()).values()
    assert left.state == "more"
    assert order == []
    monkeypatch.undo()
    await run_until_empty(road)
    assert order == [0, 1, 2]


async def test_the_lease_is_renewed_while_a_handler_runs(road, monkeypatch):
    """A handler that runs longer than the lease keeps its lane."""
    monkeypatch.setattr(lanes, "LEASE_MS", 200)
    monkeypatch.setattr(drain_module, "LEASE_MS", 200)
    owner = keys.lane(lane_of("c1"), "owner")
    tokens = []

    async def handler(event, context):
        deadline = time.monotonic() + 0.6
        while time.monotonic() < deadline:
            tokens.append(await road.client.get(owner))
            await asyncio.sleep(0.02)

    on(road, handler, concurrency=1)
    await road.append()
    await run_until_empty(road)
    assert None not in tokens


async def test_a_redis_that_forgot_the_scripts_is_taught_again(road):
    """A drain survives the loss of Redis's script cache."""
    order = []

    async def handler(event, context):
        await road.client.script_flush()
        order.append(event.raw["n"])

    on(road, handler)
    for n in range(3):
        await road.append(n=n)
    await run_until_empty(road)
    assert order == [0, 1, 2]


async def test_an_event_that_left_the_inbox_is_a_dead_letter(road):
    """A delivery whose event is gone is not lost silently."""

    async def handler(event, context):
        raise AssertionError

    on(road, handler)
    event_id = await road.append()
    await road.dispatch()
    entry, _ = await road.inbox.find(event_id)
    await road.client.xdel(keys.INBOX, entry)
    await road.drain()
    assert await road.client.zcard(keys.DEAD) == 1


async def let_time_pass(road, lane):
    """Make the waits of a lane's held conversations end now."""
    held = keys.lane(lane, "held")
    for conversation, due in await road.client.zrange(held, 0, -1, withscores=True):
        if due != float("inf"):
            await road.client.zadd(held, {conversation: 0})


async def crash(road, lane, *, want=WINDOW):
    """Take events as a drain does, and die without a word."""
    dead = Lane(road.client, lane)
    assert await dead.begin() is not None
    batch = await dead.turn([], want=want, share=SHARE, enough=[])
    await road.client.delete(keys.lane(lane, "owner"))  # its lease runs out
    return batch


async def test_what_a_dead_worker_had_is_handled_in_order(road):
    """Events that died with their drain come first, in order, as second attempts."""
    order = []

    async def handler(event, context):
        order.append((event.raw["n"], context.attempt))

    on(road, handler)
    for n in range(4):
        await road.append(n=n)
    await road.dispatch()
    assert len((await crash(road, lane_of("c1"), want=3)).events) == 3
    await run_until_empty(road)
    assert order == [(0, 2), (1, 2), (2, 2), (3, 1)]


async def test_only_the_event_that_kills_alone_is_blamed(road):
    """After a crash the suspects run one by one: the killer becomes a dead letter, the others are done."""
    order = []

    async def handler(event, context):
        order.append(event.raw["n"])

    on(road, handler, retries=0)
    events = [await road.append(f"c{n}", n=n) for n in range(40)]
    await road.dispatch()
    lane = lane_of("c0")
    mates = [n for n in range(40) if lane_of(f"c{n}") == lane]
    assert len(mates) > 1
    await crash(road, lane)
    alone = await crash(road, lane)
    assert [one.envelope.id for one in alone.events] == [events[mates[0]]]
    await run_until_empty(road)
    killer = await road.delivery(events[mates[0]])
    assert killer.status == "dead"
    assert [one.outcome for one in killer.attempts] == ["cut off", "cut off"]
    assert sorted(order) == [n for n in range(40) if n != mates[0]]


@pytest.mark.parametrize("seed", range(12))
async def test_no_fault_loses_repeats_or_reorders(road, seed):
    """Whatever fails, crashes or stops: each event is done once, each conversation in order."""
    chance = random.Random(seed)
    order = []

    async def handler(event, context):
        if chance.random() < 0.2:
            context.retry_after(chance.choice([0, 0.001]))
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        order.append((event.conversation, event.raw["n"]))

    on(road, handler, retries=1000, concurrency=chance.choice([1, 2, 64]))
    counts = dict.fromkeys((f"c{n}" for n in range(chance.choice([1, 3, 30]))), 0)
    for _ in range(300):
        conversation = chance.choice(list(counts))
        await road.append(conversation, n=counts[conversation])
        counts[conversation] += 1
        if chance.random() < 0.05:
            await road.dispatch()
            for lane in await road.lanes():
                if chance.random() < 0.3:
                    await crash(road, lane, want=chance.choice([1, 5, WINDOW]))
                else:
                    road.stopping = chance.random() < 0.2
                    await let_time_pass(road, lane)
                    await road.drain_lane(lane)
                    road.stopping = False
    await run_until_empty(road)
    for conversation, count in counts.items():
        assert [n for name, n in order if name == conversation] == list(range(count))


def lane_of(conversation):
    return routes.lane_of(HANDLER, conversation)


def same_lane(count):
    """Return conversations that share a lane."""
    names = [f"k{n}" for n in range(500)]
    first = lane_of(names[0])
    return [name for name in names if lane_of(name) == first][:count]


async def wait_until(condition):
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_conversations_run_at_once_than_allowed(road, concurrency):
    """`concurrency` bounds the conversations that run at once, however many wait."""
    inside, most = [0], [0]

    async def handler(event, context):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(0.001)
        inside[0] -= 1

    on(road, handler, concurrency=concurrency)
    for conversation in same_lane(12):
        for n in range(3):
            await road.append(conversation, n=n)
    await run_until_empty(road)
    assert most == [concurrency]


class Odd(BaseException):
    """An exception that no handler should raise."""


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt, Odd, GeneratorExit])
async def test_whatever_a_handler_raises_is_its_own_failure(road, error):
    """Neither SystemExit nor a cancelled awaitable ends the drain, or the order of the conversation."""
    order = []

    async def handler(event, context):
        if event.raw["n"] == 1 and context.attempt == 1:
            raise error("out")
        order.append(event.raw["n"])

    on(road, handler)
    events = [await road.append(n=n) for n in range(4)]
    await run_until_empty(road)
    assert order == [0, 1, 2, 3]
    delivery = await road.delivery(events[1])
    assert [one.outcome for one in delivery.attempts] == ["failed", "done"]
    assert delivery.attempts[0].error == f"{error.__name__}: out"


async def test_plain_functions_wait_for_a_thread_before_their_time_begins(road):
    """The time limit of a plain `def` counts from when it has a thread to run in."""
    road.threads = asyncio.Semaphore(1)
    seen = []

    def handler(event, context):
        time.sleep(0.05)  # blocks its thread, as a library would
        seen.append(event.raw["n"])

    on(road, handler, timeout=0.5, retries=0)
    for n, conversation in enumerate(same_lane(20)):
        await road.append(conversation, n=n)
    await run_until_empty(road)
    assert sorted(seen) == list(range(20))


async def test_beside_others_a_slow_conversation_keeps_its_lane_open(road, monkeypatch):
    """After its slice, a drain that isn't alone goes on serving its lane while a slow attempt runs."""
    monkeypatch.setattr(drain_module, "SLICE", 0.0)
    road.alone = False
    gate, order = asyncio.Event(), []

    async def handler(event, context):
        if event.conversation == slow:
            await gate.wait()
        order.append(event.conversation)
        gate.set()

    on(road, handler)
    slow, other = same_lane(2)
    await road.append(slow)
    await road.dispatch()
    drain = road.drain_of(lane_of(slow))
    assert await drain.begin()
    drain._slice_end = time.monotonic() + 60
    draining = asyncio.create_task(drain.run())
    await wait_until(lambda: road.client.scard(keys.lane(lane_of(slow), "taken")))
    drain._slice_end = 0.0
    await road.append(other)
    await road.dispatch()
    await draining
    assert order == [other, slow]


async def test_losing_redis_blames_nobody(road, client, monkeypatch):
    """A drain that loses Redis gives back what it has when it can; the next one goes on, in order."""
    order, broken = [], []
    on_the_way = Lane.turn

    async def turn(self, operations, **options):
        if broken and operations:
            broken.clear()
            raise RedisConnectionError("gone")
        return await on_the_way(self, operations, **options)

    async def handler(event, context):
        order.append((event.raw["n"], context.attempt))

    on(road, handler, retries=0)
    monkeypatch.setattr(Lane, "turn", turn)
    events = [await road.append(n=n) for n in range(3)]
    await road.dispatch()
    broken.append(True)
    [left] = (await road.drain()).values()
    assert left.state == "more"
    await run_until_empty(road)
    begun = len(order) - 3
    assert order == [(n, 1) for n in range(begun)] + [(n, 2) for n in range(3)]
    assert [(await road.delivery(one)).status for one in events] == ["done"] * 3


async def test_a_suspect_that_waits_slows_nobody_down(road):
    """While a suspect's conversation is held for long, the others of its lane run many at a time."""
    inside, most = [0], [0]

    async def handler(event, context):
        if event.conversation == held and event.raw["n"] == 0:
            context.retry_after(3600)
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(0.001)
        inside[0] -= 1

    on(road, handler)
    held, *others = same_lane(10)
    for n in range(2):
        await road.append(held, n=n)
    await road.dispatch()
    await crash(road, lane_of(held))
    for conversation in others:
        await road.append(conversation, n=0)
    await road.dispatch()
    [left] = (await road.drain()).values()
    assert left.state == "resting"
    assert most[0] == len(others)


async def test_many_commands_at_once(road, redis_url):
    """However many handlers use their context at once, none of them waits in vain for a connection."""
    road.client = connect_many(redis_url, connections=2)

    async def handler(event, context):
        async with context.once("x"):
            pass

    road.handlers.on("*", name="h", concurrency=256)(handler)
    events = [await road.append(f"c{n}") for n in range(200)]
    await road.dispatch()
    await asyncio.gather(*(road.drain_lane(lane) for lane in await road.lanes()))
    deliveries = [await road.delivery(event) for event in events]
    assert {(one.status, len(one.attempts)) for one in deliveries} == {("done", 1)}
    await road.client.aclose()
