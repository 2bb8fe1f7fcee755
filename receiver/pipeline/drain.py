"""Draining a lane: taking its events, having them attempted, recording how it went.

Different conversations run at once, one conversation in order. One round trip records what has ended
and takes what comes next; while it is on its way the handlers run on, so a busy lane needs about one
round trip a batch, and a slow conversation holds up no other.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from receiver.pipeline import lanes, pace
from receiver.pipeline.attempts import Attempts, Verdict
from receiver.pipeline.deliveries import Status
from receiver.pipeline.finished import Finished
from receiver.pipeline.lanes import Lane, Operation, Release, Taken
from receiver.pipeline.pace import Pace
from receiver.pipeline.surroundings import Surroundings
from receiver.plugins import Handler

SLICE = 5.0
"""Seconds after which a drain gives way, so that lanes spread over the processes that there are."""
WINDOW = 256
"""Events that a drain has at once."""
POLL = 0.05
"""Seconds between looks into the lane while handlers run: it may have events of other conversations."""
ABANDONS_WITHIN = 60.0
"""Seconds that a drain which lost Redis goes on trying to give back what it has."""
_log = structlog.get_logger("receiver.drain")


@dataclass(slots=True)
class Conversation:
    """What a drain has of one conversation: what waits, and a failure that holds it."""

    name: str
    waiting: deque[Taken] = field(default_factory=deque)
    failed: Verdict | None = None


class Drain:
    """One drain of one lane."""

    def __init__(self, lane: Lane, handler: Handler, surroundings: Surroundings) -> None:
        self.lane = lane.name
        self.suspect_waits = False
        self._lane = lane
        self._around = surroundings
        self._concurrency = handler.concurrency
        self._of_batches = handler.window is not None
        self._may_linger = not (surroundings.alone or self._of_batches or lane.suspects == "only")
        self._ordered = handler.order is not None
        self._attempts = Attempts(handler, surroundings)
        self._conversations: dict[str, Conversation] = {}
        self._ready: deque[Conversation] = deque()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._held: list[Conversation] = []
        self._overflowing: set[str] = set()
        self._operations: list[Operation] = []
        self._finished: defaultdict[Status, list[Finished]] = defaultdict(list)
        self._unsaved: dict[str, bytes] = {}  # conversation → its state, which a later turn records
        self._taken = 0
        self._progress = asyncio.Event()
        self._pace = Pace(alone=surroundings.alone)
        self._lingers = False
        self._renewed = self._slice_end = 0.0

    async def begin(self) -> bool:
        """Become the lane's owner; tell whether that worked, or another drain lives."""
        recovered = await self._lane.begin()
        if recovered:
            _log.warning("took over from a worker that died", lane=self._lane.name, events=recovered)
        self._renewed = time.monotonic()
        self._slice_end = self._renewed + SLICE * random.uniform(0.7, 1.3)  # noqa: S311 - spreads load
        return recovered is not None

    async def run(self) -> Release:
        """Drain the lane, after `begin`; return how it was left.

        Raises:
            Fenced: the lane was taken over, so what this drain still does doesn't count.
        """
        try:
            return await self._run()
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            _log.warning("lost Redis", lane=self._lane.name, error=str(error))
            await self._end_attempts()
            await self._abandon(lanes.LOST_REDIS)
            return Release("more")
        finally:
            await self._end_attempts()

    def wake(self) -> None:
        """Make the drain look at once at `stopping`, or into the lane where it lingers."""
        self._progress.set()
        self._pace.ring()

    async def _run(self) -> Release:
        while True:
            if self._around.out_of_time:
                return await self._cut_off()
            leaving = self._leaving()
            if leaving:
                self._give_back()
            else:
                self._start_ready()
            if not leaving and (early := self._pace.early) > 0:
                await self._wait(early)
                continue
            operations = self._collect_operations()
            want = 0 if leaving or len(self._running) >= self._concurrency else WINDOW - self._taken
            needed = operations or want or time.monotonic() - self._renewed > pace.RENEWS
            if needed and await self._turn(operations, want):
                await asyncio.sleep(0)  # lets conversations begin, and quick handlers end
            elif self._running and not self._has_ended():
                await self._wait(POLL if want else pace.RENEWS)
            elif self._running or self._has_ended() or self._ready:
                continue
            elif leaving or not (self._lingers and await self._pace.linger()):
                leaving = leaving or self._lane.suspects == "only"
                left = await self._lane.release(give_way=leaving)
                if leaving or left.state != "more":
                    return left
                self._pace.hurry()
                await asyncio.sleep(0)

    def _leaving(self) -> bool:
        """Whether to begin nothing more: the process ends, or the slice is over.

        Where other drains run beside this one, it leaves when nothing runs: a slow conversation must not
        keep the others of its lane waiting.
        """
        if self._around.stopping or self.suspect_waits:
            return True
        return self._slice_is_over() and (self._around.alone or not self._running)

    def _slice_is_over(self) -> bool:
        return time.monotonic() >= self._slice_end

    async def _turn(self, operations: list[Operation], want: int) -> bool:
        """Record and take; tell whether events came."""
        self._pace.begin_turn(idle=not self._conversations)
        enough = [one.name for one in self._conversations.values() if len(one.waiting) >= pace.SHARE]
        saving = dict(self._unsaved)
        linger = self._may_linger and not (self._running or self._ready)
        batch = await self._lane.turn(
            operations, want=want, share=self._pace.share, enough=enough, linger=linger
        )
        self._unsaved = {
            name: state for name, state in self._unsaved.items() if saving.get(name) is not state
        }
        self._renewed = time.monotonic()
        self._pace.end_turn(len(batch.events))
        self._receive(batch.events)
        self.suspect_waits = batch.suspect_waits or self.suspect_waits
        self._lingers = batch.lingers
        for name in batch.overflowing:
            self._pace.hurry()
            if name in self._conversations:
                self._overflowing.add(name)
            else:
                self._operations.append(lanes.resume(name))
        self._start_ready()
        return bool(batch.events)

    def _has_ended(self) -> bool:
        """Whether something has to be recorded."""
        return bool(self._operations or self._finished or self._held)

    async def _wait(self, patience: float) -> None:
        """Wait until something ends, or for `patience` seconds."""
        self._progress.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._progress.wait()

    def _receive(self, events: Iterable[Taken]) -> None:
        """Put what was taken into its conversations."""
        for taken in events:
            self._taken += 1
            name = taken.envelope.conversation if taken.envelope and self._ordered else taken.entry
            conversation = self._conversations.get(name)
            if conversation is None:
                conversation = self._conversations[name] = Conversation(name)
                self._ready.append(conversation)
            conversation.waiting.append(taken)

    def _start_ready(self) -> None:
        """Start conversations, as many as may run at once."""
        while self._ready and len(self._running) < self._concurrency:
            conversation = self._ready.popleft()
            task = asyncio.create_task(self._run_conversation(conversation))
            self._running[conversation.name] = task

    async def _run_conversation(self, conversation: Conversation) -> None:
        """Run a conversation's events one after the other, until one fails or the slice is over."""
        try:
            while conversation.waiting:
                taken = conversation.waiting.popleft()
                verdict = await self._attempts.run(taken, self._unsaved.get(conversation.name))
                if verdict.status == "retrying":
                    conversation.failed = verdict
                    self._held.append(conversation)
                    return
                self._taken -= 1
                if verdict.state is not None:
                    self._unsaved[conversation.name] = verdict.state
                    self._operations.append(lanes.remember(verdict.taken, conversation.name, verdict.state))
                if verdict.finished is not None:
                    self._finished[verdict.status].append(verdict.finished)
                else:
                    self._operations.append(lanes.end(verdict.taken, verdict.status, verdict.attempt))
                if self._of_batches:
                    self._operations.append(lanes.over(verdict.taken))
                if conversation.waiting and (self._around.stopping or self._slice_is_over()):
                    self._ready.append(conversation)
                    return
        finally:
            del self._running[conversation.name]
            self._progress.set()
        self._forget(conversation)

    def _forget(self, conversation: Conversation) -> None:
        del self._conversations[conversation.name]
        if conversation.name in self._overflowing:
            self._overflowing.discard(conversation.name)
            self._operations.append(lanes.resume(conversation.name))
            self._pace.hurry()  # its next events wait for that

    def _collect_operations(self) -> list[Operation]:
        """Return what has to be recorded, and forget it."""
        operations, self._operations = self._operations, []
        for status, finished in self._finished.items():
            operations.append(lanes.finish(status, self._attempts.worker, finished))
        self._finished.clear()
        for conversation in self._held:
            verdict = conversation.failed
            assert verdict is not None
            assert verdict.attempt is not None
            behind = [one.entry for one in conversation.waiting]
            self._taken -= 1 + len(behind)
            operations.append(
                lanes.retry(verdict.taken, verdict.attempt, conversation.name, verdict.wait, behind)
            )
            self._overflowing.discard(conversation.name)
            del self._conversations[conversation.name]
        self._held.clear()
        return operations

    def _give_back(self) -> None:
        """Put what waits and hasn't begun back into the lane, in the order of acceptance."""
        waiting: list[tuple[str, str]] = []
        for conversation in list(self._conversations.values()):
            if conversation.failed is None:
                waiting += [(one.entry, conversation.name) for one in conversation.waiting]
                conversation.waiting.clear()
                if conversation.name not in self._running:
                    self._forget(conversation)
        self._taken -= len(waiting)
        self._operations += lanes.back(waiting)
        self._ready.clear()

    async def _cut_off(self) -> Release:
        """End now: record what has ended, and give the rest back."""
        self._give_back()
        await self._end_attempts()
        if operations := self._collect_operations():
            await self._turn(operations, 0)
        await self._abandon("the worker was told to end, and this attempt took too long")
        return Release("more")

    async def _end_attempts(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _abandon(self, why: str) -> None:
        """Give back what this drain has, as soon as Redis is back; after too long, its lease ends it."""
        deadline = time.monotonic() + ABANDONS_WITHIN
        while True:
            try:
                await self._lane.abandon(why)
            except (RedisError, OSError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)
            else:
                return
