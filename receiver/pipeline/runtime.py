"""What one worker process keeps warm: its event loop, its clients, its handlers, and the drains that run."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Collection, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import uuid4

import redis
import structlog
import uvloop
from redis.exceptions import RedisError

from receiver import logs, origins, settings
from receiver.children import signals_blocked
from receiver.errors import Fenced, PluginError
from receiver.events import Event
from receiver.mail.mailer import MailRoom
from receiver.pipeline import bell, jobs, keys, rollcall, routes
from receiver.pipeline.connection import connect_blocking, connect_many
from receiver.pipeline.drain import Drain
from receiver.pipeline.lanes import LEASE_MS, Lane, Release, Suspects
from receiver.pipeline.lifespans import Lifespans
from receiver.pipeline.limits import MOST_STRAYS, Strays
from receiver.pipeline.pulse import Pulse, Stillness
from receiver.plugins import Handler
from receiver.sendbird.platform import Platform
from receiver.settings import Settings

THREADS = 64
"""Plain functions that run at once. Those that outlived their time limit run on beside them."""
SPARE_THREADS = 92
"""For what else is done in threads, and for functions that outlive their limit while the worker ends."""
BATCHES = 16
"""Batches of one handler that are in memory at once."""
STUCK_AFTER = LEASE_MS / 1000 * 2 / 3
"""Seconds after which a loop that stands still is given up: before its leases run out."""

BLOCKED = 70
"""The exit code of a worker that gave up because its loop stood still."""

Result = TypeVar("Result")
_log = structlog.get_logger("receiver.worker")


class Runtime:
    """What one worker process keeps warm: its loop, in a thread of its own, its clients, its handlers."""

    def __init__(self, config: Settings, handlers: Mapping[str, Handler]) -> None:
        if config.redis_url is None:
            raise settings.missing("redis_url", "Workers need the Redis in which the inbox lives.")
        self.pid = os.getpid()
        self.handlers = handlers
        self._bots: dict[str, frozenset[str]] = {}
        self.name = uuid4().hex
        self.stopping = self.out_of_time = False
        self.alone = True
        self.suspects: Suspects = "all"
        self.grace = math.inf
        self.pulse = Pulse()
        self.blocking: redis.Redis = connect_blocking(config.redis_url)
        keyring = config.keyring
        self.client = connect_many(config.redis_url, keyring=keyring)
        # Attempts must not keep a drain waiting.
        self._lanes = connect_many(config.redis_url, keyring=keyring)
        self.threads = asyncio.Semaphore(THREADS)
        self.batches: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(BATCHES))
        self.lifespans = Lifespans()
        self.strays = Strays(self._too_many_strays)
        self._clients = origins.Clients(config)
        self.mail = MailRoom(config, self.client)
        self._drains: dict[asyncio.Task[None], Drain] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._answers_for: frozenset[str] = frozenset()
        self._listener: bell.Listener | None = None
        self._listening: Future[None] | None = None
        self._loop = uvloop.new_event_loop()
        self._loop.set_default_executor(
            ThreadPoolExecutor(THREADS + MOST_STRAYS + SPARE_THREADS, thread_name_prefix="handler")
        )
        self._thread = threading.Thread(target=self._run_loop, name="loop", daemon=True)
        self._watched = False
        with signals_blocked():
            self._thread.start()

    def sendbird_for(self, event: Event) -> Platform:
        """Return the client of the application that the event is from."""
        return self._clients.of(event)

    def bots_for(self, event: Event) -> frozenset[str]:
        """Return the bots of the application that the event is from."""
        return self._bots.get(self._clients.whose(event), frozenset())

    def drain(self, lane: str) -> None:
        """Drain `lane`. When this process is `alone`, return at its end, else as soon as it has begun."""
        began = self._call(self._begin(lane))
        if began and self.alone:
            self._call(self._wait_for_drains())

    def stop(self) -> None:
        """Make every drain hand back what it hasn't begun, and what still runs when the `grace` is over.

        May be called again, with less grace. Safe to call from a signal handler.
        """
        self.stopping = True
        self._loop.call_soon_threadsafe(self._begin_grace)

    def cut_off(self) -> None:
        """Make every drain hand back all that it has. Safe to call from a signal handler."""
        self._loop.call_soon_threadsafe(self._cut_off)

    def wait(self, seconds: float) -> None:
        """Return when every drain has ended, or after `seconds`."""
        self._call(self._wait_for_drains(seconds))

    def finish(self) -> None:
        """Stop, and return when every drain has ended, and then every plugin."""
        self.stop()
        self._call(self._wait_for_drains())
        if self._listening is not None:
            self._listening.cancel()  # not sooner: whose channel falls silent is taken for dead
        self._call(self.lifespans.stop())
        self._call(self.mail.aclose())

    def listen(self, handlers: Collection[str]) -> None:
        """Begin drains of `handlers` also when the bell rings: sooner than by an RQ job, and for less."""
        self._answers_for = frozenset(handlers)
        self._listener = bell.Listener(self.client, self._ring, self.name)
        self._listening = asyncio.run_coroutine_threadsafe(self._listener.listen(), self._loop)

    def watch(self) -> None:
        """Begin to watch the loop, if nobody does."""
        if not self._watched:
            self._watched = True
            with signals_blocked():
                threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _watch(self) -> None:
        """End this process if its loop stands still: a handler blocks it, and everything else with it.

        What the loop had is taken over, and run one by one, so that the handler is found out.
        """
        stillness = Stillness(self.pulse)
        while True:
            self._loop.call_soon_threadsafe(self.pulse.beat)
            time.sleep(1)
            if stillness.look() > STUCK_AFTER:
                frame = sys._current_frames().get(self._thread.ident or 0)
                where = [f"{one.filename}:{one.lineno}" for one in traceback.extract_stack(frame)[-8:]]
                _log.critical("a handler blocks the event loop; this worker gives up", at=where)
                os._exit(BLOCKED)

    def _run_loop(self) -> None:
        """Run the loop. A task that a handler has made ends it with SystemExit: it goes on."""
        while True:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                _log.warning("a handler's task raised what would end the worker", error=logs.place(error))

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin(self, lane: str, *, called: bool = False) -> bool:
        """Begin a drain, by an RQ job or because the bell has `called`; tell whether that worked."""
        handler = self.handlers.get(routes.handler_of(lane))
        if handler is None:
            raise PluginError(
                f"the lane {lane} waits for a handler that this worker doesn't have. It has: "
                f"{', '.join(sorted(self.handlers)) or 'none'}. Is RECEIVER_HANDLERS the same as elsewhere?"
            )
        dangerous = await self._lanes.exists(keys.dangerous(handler.name))
        if dangerous and called:
            return False  # its job tells those who are for such handlers
        if dangerous and self.suspects == "none":
            await asyncio.to_thread(jobs.wake, self.blocking, [lane], suspects=True)
            return False
        suspects = "all" if dangerous else self.suspects
        ordered = handler.order is not None
        is_known = self._listener is not None and self._listener.is_known
        worker = rollcall.sign(self.name) if is_known else self.name
        mailbox = Lane(self._lanes, lane, handler.window, ordered=ordered, worker=worker, suspects=suspects)
        drain = Drain(mailbox, handler, self)
        if not await drain.begin():
            return False
        task = asyncio.create_task(self._run(drain, lane))
        self._drains[task] = drain
        task.add_done_callback(self._drains.pop)
        return True

    async def _run(self, drain: Drain, lane: str) -> None:
        try:
            with contextlib.suppress(RedisError, OSError):  # the bots that are known will do
                marks = await self._lanes.smembers(keys.BOTS)
                self._bots = origins.marked(mark.decode() for mark in marks)
            left = await drain.run()
            await asyncio.to_thread(self._wake, lane, left, suspects=drain.suspect_waits)
        except Fenced as error:
            _log.warning("the drain was taken over", lane=lane, error=str(error))
        except Exception:
            _log.exception("a drain failed; the reaper wakes its lane", lane=lane)

    def _wake(self, lane: str, left: Release, *, suspects: bool) -> None:
        """Have the lane drained again, at once or when it is due; its suspects elsewhere."""
        if left.due is not None:
            jobs.wake_at(self.blocking, lane, left.due)
        elif left.state == "more":
            jobs.wake(self.blocking, [lane], suspects=suspects)

    def _ring(self, lanes: Collection[str]) -> None:
        drains = {drain.lane: drain for drain in self._drains.values()}
        for lane in lanes:
            if lane in drains:
                drains[lane].wake()
            elif routes.handler_of(lane) in self._answers_for and not self.stopping:
                answer = asyncio.create_task(self._answer(lane))
                self._answers.add(answer)
                answer.add_done_callback(self._answers.discard)

    async def _answer(self, lane: str) -> None:
        """Begin a drain that the bell has rung for, unless somebody else does."""
        try:
            await self._begin(lane, called=True)
        except (RedisError, OSError) as error:
            _log.warning("a lane's call wasn't answered; it gets a job", lane=lane, error=str(error))

    def _wake_drains(self) -> None:
        for drain in self._drains.values():
            drain.wake()

    def _begin_grace(self) -> None:
        self._wake_drains()
        if self.grace < math.inf:
            self._loop.call_later(self.grace, self._cut_off)

    def _cut_off(self) -> None:
        self.stopping = self.out_of_time = True
        self._wake_drains()

    def _too_many_strays(self, count: int) -> None:
        """End this worker as if it were told to. What strays on can't be ended in any other way."""
        if not (self.alone or self.stopping):
            _log.error("handlers that outlived their attempts pile up; this worker ends", number=count)
            os.kill(os.getpid(), signal.SIGTERM)

    async def _wait_for_drains(self, seconds: float | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while running := [*self._answers, *self._drains]:
                    await asyncio.wait(running)
