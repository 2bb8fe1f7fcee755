"""Running one attempt: the handler, its event, its time limit, and what its end means."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
import traceback
from contextlib import AsyncExitStack
from typing import NamedTuple

import structlog

from receiver.calls import call, is_async
from receiver.context import BotReplies, Context
from receiver.errors import MailUnavailable, MissingKey, Permanent, Retry, SendbirdUnavailable
from receiver.events import Batch, BotMessage, Event, MessageSent
from receiver.events.catalogue import open_event
from receiver.pipeline import batches
from receiver.pipeline.deliveries import Attempt, Outcome, Status
from receiver.pipeline.finished import Finished
from receiver.pipeline.lanes import Taken
from receiver.pipeline.limits import Limited
from receiver.pipeline.memory import Memory
from receiver.pipeline.routes import Route
from receiver.pipeline.runs import Run, StillRuns
from receiver.pipeline.sealing import opened
from receiver.pipeline.surroundings import AttemptSurroundings
from receiver.plugins import Handler
from receiver.redaction import clean, private

FIRST_WAIT = 1.0
LONGEST_WAIT = 600.0
LONGEST_NAMED_WAIT = 86_400.0
"""Seconds. A wait that a handler or Sendbird names is honoured up to a day."""

KEY_WAIT = 60.0
"""Seconds to the next attempt where a body's key is missing: somebody has to add it, and to restart."""

VERBS = {
    "failed": "failed (see receiver events show ID)",
    "timed out": "took too long",
    "asked to wait": "asked to wait",
}

_KNOWS_BOTS = (BotMessage, MessageSent)

_log = structlog.get_logger("receiver.attempts")


class Verdict(NamedTuple):
    """How an attempt ended for its delivery. `wait` is in seconds, where it is tried again.

    `state` is what the handler remembers of the conversation from now on; None where that is as before.
    `finished` stands for the attempt where it was the first, and the last.
    """

    taken: Taken
    status: Status
    attempt: Attempt | None = None
    wait: float = 0.0
    state: bytes | None = None
    finished: Finished | None = None


def backoff(failures: int) -> float:
    """Return how long to wait after `failures` failed attempts, in seconds: exponential, with jitter."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (failures - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


class Attempts:
    """Runs the attempts of one handler."""

    def __init__(self, handler: Handler, surroundings: AttemptSurroundings) -> None:
        self._handler = handler
        self._around = surroundings
        self._route = Route(handler.name, handler.filter)
        self._is_async = is_async(handler.call)
        self.worker = f"{socket.gethostname()}:{os.getpid()}"

    async def run(self, taken: Taken, state: bytes | None = None) -> Verdict:
        """Run the next attempt of a delivery, whatever the handler does in it.

        `state` is the conversation's, where it is newer than what Redis has.

        Raises:
            CancelledError: the drain ends; the attempt is cut off.
        """
        if taken.envelope is None:
            return Verdict(taken, "dead", self._attempt(taken, "failed", error="the event can't be read"))
        if taken.failures > self._handler.retries:
            about = {"handler": self._handler.name, "id": taken.envelope.id, "attempt": taken.attempts}
            _log.error("dead letter: the last attempt was cut off (see receiver events show ID)", **about)
            return Verdict(taken, "dead")
        if self._is_async and self._handler.window is None:
            return await self._run(taken, state)
        async with AsyncExitStack() as turn:  # the clock starts when there is room to run in
            if not self._is_async:
                await turn.enter_async_context(self._around.threads)
            if self._handler.window is not None:
                await turn.enter_async_context(self._around.batches[self._handler.name])
            return await self._run(taken, state)

    async def _run(self, taken: Taken, unsaved: bytes | None) -> Verdict:
        began = time.perf_counter()
        one = Run(self._handler.call, self._is_async)
        limited = Limited(lambda: self._handle(one, taken, unsaved), self._handler.timeout)
        cut_off = True
        try:
            await limited.end()
            cut_off = False
        finally:
            if cut_off or limited.expired:
                self._part_with(one, limited)
        took = time.perf_counter() - began
        if limited.expired:
            error = StillRuns() if limited.runs else limited.error or TimeoutError()
            return self._failed(taken, one, error, took, expired=True)
        if limited.error is not None:
            return self._failed(taken, one, limited.error, took)
        status: Status = "skipped" if one.skipped else "done"
        if taken.attempts == 0 and self._handler.window is None:
            ended = Finished(
                taken.entry, time.time_ns() // 1_000_000, 0 if one.skipped else round(took * 1e6)
            )
            return Verdict(taken, status, state=one.state, finished=ended)
        attempt = None if one.skipped else self._attempt(taken, "done", took=took)
        return Verdict(taken, status, attempt, state=one.state)

    async def _handle(self, one: Run, taken: Taken, unsaved: bytes | None) -> None:
        handler = self._handler
        assert taken.envelope is not None
        event = open_event(opened(taken.envelope, self._around.client.keyring))
        self._mark(event)
        one.event = event
        private.set(one.written)
        one.memory = memory = self._memory(taken, event, unsaved)
        if not self._is_wanted(event) or (handler.where is not None and not handler.where(event)):
            one.skipped = True
            return
        if handler.window is not None:
            batch = await self._load(taken)
            if batch is None:
                one.skipped = True
                return
            one.event = event = batch
        if handler.plugin is not None:
            await self._around.lifespans.start(handler.plugin)
        one.context = self._context(event, taken, memory)
        if self._is_async:
            await one.function(event, one.context)
        else:
            await call(one.function, event, one.context)
        one.state = memory.changed_state()

    def _is_wanted(self, event: Event) -> bool:
        """Tell whether the route lets the event pass: a dispatcher without its body's key had to guess."""
        if not self._around.client.keyring or not self._route.reads_bodies:
            return True
        return self._route.matches(event.raw)

    def _part_with(self, one: Run, limited: Limited) -> None:
        """Have what an attempt still does after its end not count, and count the attempt if it goes on."""
        one.close()
        strays = self._around.strays
        if limited.runs:
            strays.add(one)
            limited.when_ended(lambda: strays.discard(one))
        elif one.is_in_thread:
            loop = asyncio.get_running_loop()
            strays.add(one)
            one.when_ended(lambda: loop.call_soon_threadsafe(strays.discard, one))

    def _failed(
        self, taken: Taken, one: Run, error: BaseException, took: float, *, expired: bool = False
    ) -> Verdict:
        handler = self._handler
        quoted = one.written()
        if expired:
            said = f"no end within {handler.timeout:g} s"
            if isinstance(error, StillRuns):
                said += ", nor when it was cancelled"
            attempt = self._attempt(taken, "timed out", took=took, error=said)
        elif isinstance(error, Retry):
            attempt = self._attempt(taken, "asked to wait", took=took, error=clean(str(error), quoted))
        else:
            frames = clean("".join(traceback.format_exception(error)), quoted)
            said = clean(f"{type(error).__name__}: {error}", quoted)
            attempt = self._attempt(taken, "failed", took=took, error=said, frames=frames)
        assert taken.envelope is not None
        about = {"handler": handler.name, "id": taken.envelope.id, "attempt": attempt.number}
        if attempt.outcome == "failed":
            about |= {"error": type(error).__name__, "at": _place(error)}
        if taken.failures >= handler.retries or isinstance(error, Permanent):
            _log.error(f"dead letter: the last attempt {VERBS[attempt.outcome]}", **about)
            return Verdict(taken, "dead", attempt)
        wait = _named_wait(error, taken.failures + 1)
        wait = backoff(taken.failures + 1) if wait is None else min(wait, LONGEST_NAMED_WAIT)
        tell = _log.info if isinstance(error, Retry) else _log.warning
        tell(f"the attempt {VERBS[attempt.outcome]}", **about, next_in=f"{wait:.1f} s")
        return Verdict(taken, "retrying", attempt, wait)

    def _attempt(
        self,
        taken: Taken,
        outcome: Outcome,
        *,
        took: float = 0.0,
        error: str | None = None,
        frames: str | None = None,
    ) -> Attempt:
        return Attempt(
            number=taken.attempts + 1,
            ended=time.time_ns() // 1_000_000,
            outcome=outcome,
            took=round(took * 1000, 3),
            worker=self.worker,
            error=error,
            traceback=frames,
        )

    async def _load(self, taken: Taken) -> Batch[Event] | None:
        assert taken.envelope is not None
        batch = await batches.load(self._around.client, taken.entry, taken.envelope)
        if batch is not None:
            for event in batch.events:
                self._mark(event)
        return batch

    def _mark(self, event: Event) -> None:
        if isinstance(event, _KNOWS_BOTS):
            event.bots = self._around.bots_for(event)

    def _memory(self, taken: Taken, event: Event, unsaved: bytes | None) -> Memory:
        around = self._around
        return Memory(
            around.client,
            around.blocking,
            entry=taken.entry,
            handler=self._handler.name,
            conversation=event.conversation,
            is_batch=self._handler.window is not None,
            is_ordered=self._handler.order is not None,
            unsaved=unsaved,
        )

    def _context(self, event: Event, taken: Taken, memory: Memory) -> Context:
        delivery = f"{event.id}:{self._handler.name}"
        sendbird = self._around.sendbird_for(event)
        replies = None
        if isinstance(event, BotMessage):
            replies = BotReplies(sendbird, event.bot.userid, event.channel.channel_url, delivery)
        return Context(
            event,
            handler=self._handler.name,
            attempt=taken.attempts + 1,
            sendbird=sendbird,
            mailer=self._around.mail.mailer(memory, delivery),
            memory=memory,
            bot=replies,
        )


def _place(error: BaseException) -> str | None:
    """Return where `error` was raised. (Its text may hold what people wrote, and is not logged.)"""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _named_wait(error: BaseException, failures: int) -> float | None:
    """Return the wait, in seconds, that the handler or Sendbird asked for, or None."""
    if isinstance(error, Retry):
        return error.seconds
    if isinstance(error, MissingKey):
        return KEY_WAIT
    if isinstance(error, MailUnavailable) and error.retry_after is not None:
        return max(error.retry_after, backoff(failures))  # a setting may stay wrong for long
    return error.retry_after if isinstance(error, SendbirdUnavailable) else None
