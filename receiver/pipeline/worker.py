"""The RQ side: the job that drains a lane, and the workers that run it.

`drain` is an ordinary RQ job, so any `rq worker --serializer json` can run it; there, it lasts as long as
the drain. In a `LaneWorker` it only begins the drain, which goes on beside others on a loop that stays
warm: a handler that is slow, or hangs, keeps no other handler waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import redis
import structlog
import uvloop
from rq import SimpleWorker
from rq.exceptions import StopRequested
from rq.worker import DequeueStrategy, WorkerStatus

from receiver import discovery, settings
from receiver.children import signals_blocked
from receiver.errors import Fenced, PluginError
from receiver.mail.mailer import MailRoom
from receiver.pipeline import jobs, keys, routes
from receiver.pipeline.connection import connect, connect_blocking, connect_many
from receiver.pipeline.drain import Drain
from receiver.pipeline.lanes import LEASE_MS, Lane, Release
from receiver.pipeline.lifespans import Lifespans
from receiver.plugins import Handler
from receiver.sendbird.platform import Platform
from receiver.settings import Settings

THREADS = 64
"""Plain functions that run at once. Those that outlived their time limit run on beside them."""
ABANDONED_THREADS = 192
BATCHES = 16
"""Batches of one handler that are in memory at once."""
WORKER_TTL = 60
"""Seconds after which RQ takes a silent worker for dead; it waits for jobs a little less at a time."""
STUCK_AFTER = LEASE_MS / 1000 * 2 / 3
"""Seconds after which a loop that stands still is given up: before its leases run out."""

Result = TypeVar("Result")
_log = structlog.get_logger("receiver.worker")


class Runtime:
    """What one worker process keeps warm: its loop, in a thread of its own, its clients, its handlers."""

    def __init__(self, config: Settings, handlers: Mapping[str, Handler]) -> None:
        if config.redis_url is None:
            raise settings.missing("redis_url", "Workers need the Redis in which the inbox lives.")
        self.pid = os.getpid()
        self.handlers = handlers
        self.bots: frozenset[str] = frozenset()
        self.stopping = False
        self.alone = True
        self.blocking: redis.Redis = connect_blocking(config.redis_url)
        self.client = connect_many(config.redis_url)
        self._lanes = connect(config.redis_url)  # attempts must not keep a drain waiting
        self.threads = asyncio.Semaphore(THREADS)
        self.batches: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(BATCHES))
        self.lifespans = Lifespans()
        token = config.api_tokens[0].get_secret_value() if config.api_tokens else ""
        self.sendbird = Platform(config.platform_url, token)
        self.mail = MailRoom(config, self.client)
        self._drains: dict[asyncio.Task[None], Drain] = {}
        self._loop = uvloop.new_event_loop()
        self._loop.set_default_executor(
            ThreadPoolExecutor(THREADS + ABANDONED_THREADS, thread_name_prefix="handler")
        )
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop", daemon=True)
        with signals_blocked():
            self._thread.start()

    def drain(self, lane: str) -> None:
        """Drain `lane`. When this process is `alone`, return at its end, else as soon as it has begun."""
        began = self._call(self._begin(lane))
        if began and self.alone:
            self._call(self._wait_for_drains())

    def stop(self) -> None:
        """Make every drain hand back what it hasn't begun. Safe to call from a signal handler."""
        self.stopping = True
        self._loop.call_soon_threadsafe(self._wake_drains)

    def finish(self) -> None:
        """Stop, and return when every drain has ended, and then every plugin."""
        self.stop()
        self._call(self._wait_for_drains())
        self._call(self.lifespans.stop())
        self._call(self.mail.aclose())

    def watch(self) -> None:
        """End this process if its loop stands still: a handler blocks it, and everything else with it.

        What the loop had is taken over, and run one by one, so that the handler is found out.
        """
        last = time.monotonic()

        def tick() -> None:
            nonlocal last
            last = time.monotonic()

        while True:
            self._loop.call_soon_threadsafe(tick)
            time.sleep(1)
            if time.monotonic() - last > STUCK_AFTER:
                frame = sys._current_frames().get(self._thread.ident or 0)
                where = [f"{one.filename}:{one.lineno}" for one in traceback.extract_stack(frame)[-8:]]
                _log.critical("a handler blocks the event loop; this worker gives up", at=where)
                os._exit(70)

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin(self, lane: str) -> bool:
        handler = self.handlers.get(routes.handler_of(lane))
        if handler is None:
            raise PluginError(
                f"the lane {lane} waits for a handler that this worker doesn't have. It has: "
                f"{', '.join(sorted(self.handlers)) or 'none'}. Is RECEIVER_HANDLERS the same as elsewhere?"
            )
        known = await self._lanes.smembers(keys.BOTS)
        self.bots = frozenset(bot.decode() for bot in known)
        drain = Drain(Lane(self._lanes, lane, handler.window), handler, self)
        if not await drain.begin():
            return False
        task = asyncio.create_task(self._run(drain, lane))
        self._drains[task] = drain
        task.add_done_callback(self._drains.pop)
        return True

    async def _run(self, drain: Drain, lane: str) -> None:
        try:
            left = await drain.run()
            await asyncio.to_thread(self._wake, lane, left)
        except Fenced as error:
            _log.warning("the drain was taken over", lane=lane, error=str(error))
        except Exception:
            _log.exception("a drain failed; the reaper wakes its lane", lane=lane)

    def _wake(self, lane: str, left: Release) -> None:
        """Have the lane drained again, at once or when it is due."""
        if left.due is not None:
            jobs.wake_at(self.blocking, lane, left.due)
        elif left.state == "more":
            jobs.wake(self.blocking, [lane])

    def _wake_drains(self) -> None:
        for drain in self._drains.values():
            drain.wake()

    async def _wait_for_drains(self) -> None:
        while self._drains:
            await asyncio.wait(list(self._drains))


_runtime: Runtime | None = None


def runtime() -> Runtime:
    """Return this process's runtime, making it first where there is none.

    Raises:
        SettingsError: a setting is wrong or missing.
        PluginError: a handler module doesn't load.
    """
    global _runtime  # noqa: PLW0603 - RQ calls a function by its name: the process is its only place
    if _runtime is None or _runtime.pid != os.getpid():
        config = settings.load()
        _runtime = Runtime(config, discovery.load(config.handlers))
    return _runtime


def drain(lane: str) -> None:
    """Drain `lane`: the RQ job."""
    runtime().drain(lane)


class LaneWorker(SimpleWorker):
    """RQ's worker without forking: it begins drains, and lets them run beside each other."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "worker_ttl": WORKER_TTL})

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Work until told to stop; then let the drains end, and the process with them."""
        quiet = {"logging_level": "WARNING", "dequeue_strategy": DequeueStrategy.ROUND_ROBIN}
        try:
            return bool(super().work(*args, **{**kwargs, **quiet}))
        finally:
            runtime().finish()
            logging.shutdown()
            sys.stdout.flush()
            os._exit(0)  # threads of plain functions that hang would keep the process alive

    def _install_signal_handlers(self) -> None:
        """Make the runtime here, where RQ has forked its scheduler and begins to wait for jobs."""
        here = runtime()
        here.alone = False
        with signals_blocked():
            threading.Thread(target=here.watch, name="watch", daemon=True).start()
        super()._install_signal_handlers()  # type: ignore[no-untyped-call] # RQ leaves it untyped

    def subscribe(self) -> None:
        """Start RQ's thread for commands without giving it our signals."""
        with signals_blocked():
            super().subscribe()  # type: ignore[no-untyped-call] # RQ leaves it untyped

    def handle_warm_shutdown_request(self) -> None:
        """Tell the drains to end."""
        with contextlib.suppress(RuntimeError):  # a loop that is closed has no drains
            runtime().stop()
        if self.get_state() != WorkerStatus.BUSY:
            # RQ would end its scheduler first: half a second in which it loses the job that it is given.
            raise StopRequested
