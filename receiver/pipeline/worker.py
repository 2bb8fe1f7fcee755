"""The RQ side: the job that drains a lane, and the workers that run it.

`drain` is an ordinary RQ job, so any `rq worker --serializer json` can run it. `LaneWorker` runs it in
its own process, on an event loop that stays warm, and hands its lane back when it is told to stop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
import structlog
import uvloop
from rq import SimpleWorker
from rq.worker import DequeueStrategy

from receiver import plugins, settings
from receiver.errors import PluginError
from receiver.pipeline import jobs, keys, routes
from receiver.pipeline.connection import connect, connect_blocking
from receiver.pipeline.drain import Drain
from receiver.pipeline.lanes import Lane, Release
from receiver.plugins import Handler
from receiver.sendbird.platform import Platform
from receiver.settings import Settings

THREADS = 64
"""Threads for handlers that are a plain `def`."""

_log = structlog.get_logger("receiver.worker")


class Runtime:
    """What one worker process keeps warm: its loop, its clients, its handlers."""

    def __init__(self, config: Settings, handlers: Mapping[str, Handler]) -> None:
        if config.redis_url is None:
            raise settings.missing("redis_url", "Workers need the Redis in which the inbox lives.")
        self.pid = os.getpid()
        self.handlers = handlers
        self.bots: frozenset[str] = frozenset()
        self.stopping = False
        self.blocking: redis.Redis = connect_blocking(config.redis_url)
        self.client = connect(config.redis_url)
        token = config.api_tokens[0].get_secret_value() if config.api_tokens else ""
        self.sendbird = Platform(config.platform_url, token)
        self._loop = uvloop.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="handler"))
        self._drain: Drain | None = None

    def drain(self, lane: str) -> Release | None:
        """Drain `lane` on the warm loop."""
        asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(self._run(lane))

    def stop(self) -> None:
        """Make the running drain hand back what it hasn't begun. Safe to call from a signal handler."""
        self.stopping = True
        if self._drain is not None:
            self._loop.call_soon_threadsafe(self._drain.wake)

    async def _run(self, lane: str) -> Release | None:
        handler = self.handlers.get(routes.handler_of(lane))
        if handler is None:
            raise PluginError(
                f"the lane {lane} waits for a handler that this worker doesn't have. It has: "
                f"{', '.join(sorted(self.handlers)) or 'none'}. Is RECEIVER_HANDLERS the same as elsewhere?"
            )
        known = await self.client.smembers(keys.BOTS)
        self.bots = frozenset(bot.decode() for bot in known)
        self._drain = Drain(Lane(self.client, lane), handler, self)
        try:
            return await self._drain.run()
        finally:
            self._drain = None


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
        handlers = plugins.load(config.handlers)
        _runtime = Runtime(config, handlers)
        routes.publish(_runtime.blocking, handlers.values())
    return _runtime


def drain(lane: str) -> None:
    """Drain `lane`: the RQ job."""
    here = runtime()
    left = here.drain(lane)
    if left is None or left.state == "empty":
        return
    if left.due is not None:
        jobs.wake_at(here.blocking, lane, left.due)
    else:
        jobs.wake(here.blocking, [lane])


class LaneWorker(SimpleWorker):
    """RQ's worker without forking. It is fair to its queues, and hands its lane back when it stops."""

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Load the handlers, then work."""
        runtime()
        kwargs["dequeue_strategy"] = DequeueStrategy.ROUND_ROBIN
        return bool(super().work(*args, **kwargs))

    def handle_warm_shutdown_request(self) -> None:
        """Tell the running drain to end its slice now."""
        runtime().stop()
