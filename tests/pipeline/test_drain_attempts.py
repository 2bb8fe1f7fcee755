"""Attempts: each on record, cut off in time, repeated after a wait, and given up in the end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import structlog

from receiver import logs, redaction
from receiver.errors import Permanent, SendbirdRefused, SendbirdUnavailable
from receiver.pipeline import attempts, keys
from receiver.pipeline.attempts import backoff
from tests.pipeline.draining import HANDLER, on, run_until_empty, same_lane


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
