"""Draining a lane: taking its events, running the handler, recording how it went.

Different conversations run at once, one conversation in order. One round trip records what has ended
and takes what comes next; while it is on its way the handlers run on, so a busy lane needs about one
round trip a batch, and a slow handler delays nobody else's events.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
import traceback
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from receiver.calls import call
from receiver.context import BotReplies, Context
from receiver.errors import Retry, SendbirdRefused, SendbirdUnavailable
from receiver.events import BotMessage, Event, MessageSent
from receiver.events.catalogue import open_event
from receiver.pipeline import lanes
from receiver.pipeline.connection import Client
from receiver.pipeline.deliveries import Attempt, Outcome, Status, StoredEffects
from receiver.pipeline.lanes import LEASE_MS, Lane, Operation, Release, Taken
from receiver.plugins import Handler
from receiver.sendbird.platform import Platform

SLICE = 5.0
"""Seconds after which a drain gives way to other lanes."""
WINDOW = 256
"""Events that a drain has at once."""
POLL = 0.05
"""Seconds between looks into the lane while handlers run: it may have events of other conversations."""
SHARE = 16
"""Events of one conversation that a drain has at once: a busy channel must not fill the window."""
FIRST_WAIT = 1.0
LONGEST_WAIT = 600.0

_log = structlog.get_logger("receiver.drain")


class Surroundings(Protocol):
    """What a drain needs of its process."""

    client: Client
    sendbird: Platform
    bots: frozenset[str]
    stopping: bool


@dataclass(slots=True)
class Conversation:
    """What a drain has of one conversation: what runs, what waits, and a failure that holds it."""

    name: str
    waiting: deque[Taken] = field(default_factory=deque)
    running: bool = False
    failed: tuple[Taken, Attempt, int] | None = None


def backoff(attempts: int) -> float:
    """Return how long to wait after `attempts` failed attempts, in seconds: exponential, with jitter."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempts - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Drain:
    """One drain of one lane."""

    def __init__(self, lane: Lane, handler: Handler, surroundings: Surroundings) -> None:
        self._lane = lane
        self._handler = handler
        self._around = surroundings
        self._conversations: dict[str, Conversation] = {}
        self._overflowing: set[str] = set()
        self._ended: list[Operation] = []
        self._held: list[Conversation] = []
        self._taken = 0
        self._renewed = time.monotonic()
        self._slice_end = self._renewed + SLICE
        self._running: set[asyncio.Task[None]] = set()
        self._progress = asyncio.Event()
        self._worker = f"{socket.gethostname()}:{os.getpid()}"

    async def run(self) -> Release | None:
        """Drain the lane; return how it was left, or None if another drain lives.

        Raises:
            Fenced: the lane was taken over, so what this drain still does doesn't count.
        """
        recovered = await self._lane.begin(now_ms())
        if recovered is None:
            return None
        if recovered:
            _log.warning("took over from a worker that died", lane=self._lane.name, events=recovered)
        try:
            return await self._run()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def wake(self) -> None:
        """Make the drain look at `stopping` at once."""
        self._progress.set()

    async def _run(self) -> Release:
        self._slice_end = time.monotonic() + SLICE
        while True:
            leaving = self._leaving()
            if leaving:
                self._give_back()
            operations = self._operations()
            want = 0 if leaving else self._room()
            wants_turn = operations or want or self._lease_wants_renewal()
            if wants_turn and await self._turn(operations, want):
                continue
            if self._running:
                await self._wait(POLL if want else LEASE_MS / 4000)
            elif not (self._ended or self._held):
                left = await self._lane.release(now_ms(), give_way=leaving)
                if leaving or left.state != "more":
                    return left

    def _leaving(self) -> bool:
        """Whether the drain is to begin nothing more: its slice is over, or its process ends."""
        return self._around.stopping or time.monotonic() >= self._slice_end

    def _room(self) -> int:
        """Return how many more events to take."""
        if len(self._running) >= self._handler.concurrency:
            return 0
        return WINDOW - self._taken

    def _lease_wants_renewal(self) -> bool:
        return time.monotonic() - self._renewed > LEASE_MS / 4000

    async def _turn(self, operations: list[Operation], want: int) -> bool:
        """Record and take; tell whether events came."""
        enough = [one.name for one in self._conversations.values() if len(one.waiting) >= SHARE]
        batch = await self._lane.turn(operations, want=want, share=SHARE, enough=enough, now=now_ms())
        self._renewed = time.monotonic()
        self._start(batch.events)
        self._overflow(batch.overflowing)
        if batch.events:
            await asyncio.sleep(0)  # lets each conversation begin, and quick handlers end
        return bool(batch.events)

    async def _wait(self, patience: float) -> None:
        """Wait until something has ended, or for `patience` seconds."""
        self._progress.clear()
        if self._ended or self._held:
            return
        try:
            async with asyncio.timeout(patience):
                await self._progress.wait()
        except TimeoutError:
            return

    def _start(self, events: Iterable[Taken]) -> None:
        for taken in events:
            self._taken += 1
            if taken.envelope is None:
                self._finish(taken, "dead", self._attempt(taken, "failed", error="it left the inbox"))
                continue
            name = taken.envelope.conversation
            conversation = self._conversations.get(name)
            if conversation is None:
                conversation = self._conversations[name] = Conversation(name)
            conversation.waiting.append(taken)
            if not conversation.running and conversation.failed is None:
                conversation.running = True
                task = asyncio.create_task(self._run_conversation(conversation))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    def _overflow(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._conversations:
                self._overflowing.add(name)
            else:
                self._ended.append(lanes.resume(name))

    def _operations(self) -> list[Operation]:
        """Return what has to be recorded, and forget it."""
        operations, self._ended = self._ended, []
        for conversation in self._held:
            assert conversation.failed is not None
            taken, attempt, due = conversation.failed
            behind = [one.entry for one in conversation.waiting]
            self._taken -= 1 + len(behind)
            operations.append(lanes.retry(taken, attempt, conversation.name, due, behind))
            self._overflowing.discard(conversation.name)
            del self._conversations[conversation.name]
        self._held.clear()
        return operations

    def _give_back(self) -> None:
        """Put what waits and hasn't begun back into the lane."""
        for conversation in self._conversations.values():
            if conversation.failed is not None:
                continue
            while conversation.waiting:
                taken = conversation.waiting.pop()
                self._taken -= 1
                self._ended.append(lanes.back(taken.entry, conversation.name))

    async def _run_conversation(self, conversation: Conversation) -> None:
        try:
            while conversation.waiting:
                if self._leaving():
                    return
                taken = conversation.waiting.popleft()
                wait = await self._deliver(taken)
                if wait is not None:
                    attempt, seconds = wait
                    conversation.failed = (taken, attempt, now_ms() + round(seconds * 1000))
                    self._held.append(conversation)
                    return
        finally:
            conversation.running = False
            self._progress.set()
        del self._conversations[conversation.name]
        if conversation.name in self._overflowing:
            self._overflowing.discard(conversation.name)
            self._ended.append(lanes.resume(conversation.name))

    async def _deliver(self, taken: Taken) -> tuple[Attempt, float] | None:
        """Run one attempt; return it and how long to wait if another one is due."""
        handler = self._handler
        assert taken.envelope is not None
        if taken.failures > handler.retries:
            self._finish(taken, "dead")
            return None
        begun = time.perf_counter()
        limit = asyncio.timeout(handler.timeout)
        try:
            event = open_event(taken.envelope)
            self._mark(event)
            if handler.where is not None and not handler.where(event):
                self._finish(taken, "skipped")
                return None
            async with limit:
                await call(handler.call, event, self._context(event, taken))
        except Exception as error:
            took = time.perf_counter() - begun
            return self._failed(taken, error, took=took, expired=limit.expired())
        self._finish(taken, "done", self._attempt(taken, "done", took=time.perf_counter() - begun))
        return None

    def _failed(
        self, taken: Taken, error: Exception, *, took: float, expired: bool
    ) -> tuple[Attempt, float] | None:
        handler = self._handler
        if expired:
            attempt = self._attempt(
                taken, "timed out", took=took, error=f"no end within {handler.timeout:g} s"
            )
        elif isinstance(error, Retry):
            attempt = self._attempt(taken, "asked to wait", took=took, error=str(error))
        else:
            frames = "".join(traceback.format_exception(error))
            said = f"{type(error).__name__}: {error}"
            attempt = self._attempt(taken, "failed", took=took, error=said, frames=frames)
        assert taken.envelope is not None
        log = _log.bind(handler=handler.name, id=taken.envelope.id, attempt=attempt.number)
        if taken.failures >= handler.retries or isinstance(error, SendbirdRefused):
            log.error("dead letter", outcome=attempt.outcome, error=type(error).__name__, at=_place(error))
            self._finish(taken, "dead", attempt)
            return None
        wait = _named_wait(error)
        wait = backoff(taken.failures + 1) if wait is None else wait
        log.warning(
            "attempt failed",
            outcome=attempt.outcome,
            error=type(error).__name__,
            at=_place(error),
            next_in=f"{wait:.1f} s",
        )
        return attempt, wait

    def _finish(self, taken: Taken, status: Status, attempt: Attempt | None = None) -> None:
        self._ended.append(lanes.end(taken, status, attempt))
        self._taken -= 1
        self._progress.set()

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
            ended=now_ms(),
            outcome=outcome,
            took=round(took * 1000, 3),
            worker=self._worker,
            error=error,
            traceback=frames,
        )

    def _mark(self, event: Event) -> None:
        if isinstance(event, BotMessage | MessageSent) and event.sender is not None:
            event.from_bot = event.sender.user_id in self._around.bots

    def _context(self, event: Event, taken: Taken) -> Context:
        replies = None
        if isinstance(event, BotMessage):
            replies = BotReplies(
                self._around.sendbird,
                event.bot.userid,
                event.channel.channel_url,
                f"{event.id}:{self._handler.name}",
            )
        return Context(
            event,
            handler=self._handler.name,
            attempt=taken.attempts + 1,
            sendbird=self._around.sendbird,
            effects=StoredEffects(self._around.client, taken.entry, self._handler.name),
            bot=replies,
        )


def _place(error: Exception) -> str | None:
    """Return where `error` was raised. (Its text may hold what people wrote, and is not logged.)"""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _named_wait(error: Exception) -> Any:
    """Return the wait, in seconds, that the handler or Sendbird asked for, or None."""
    if isinstance(error, Retry):
        return error.seconds
    return error.retry_after if isinstance(error, SendbirdUnavailable) else None
