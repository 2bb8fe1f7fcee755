"""`receiver work`: RQ's worker pool, and beside it a dispatcher that leads when nobody else does."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import structlog
import uvloop
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerPool

from receiver.children import die_with_parent
from receiver.pipeline import routes
from receiver.pipeline.connection import connect, connect_blocking
from receiver.pipeline.dispatcher import Dispatcher
from receiver.pipeline.worker import LaneWorker
from receiver.plugins import Handler
from receiver.settings import Settings

GRACE = 10.0
"""Seconds beyond the longest attempt that a worker has to end."""

_log = structlog.get_logger("receiver.pool")
_fork = multiprocessing.get_context("fork")  # RQ's pool forks, too: the workers share what is loaded


def _end_when_told() -> None:
    """End a new process on the first signal, until it has handlers of its own: it has nothing to lose.

    It would inherit the pool's, and stop its siblings instead of itself.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


class Pool(WorkerPool):
    """Keeps `workers` processes at work on the queues of `handlers`, and a dispatcher alive."""

    def __init__(self, config: Settings, handlers: Sequence[Handler], workers: int) -> None:
        assert config.redis_url is not None
        super().__init__(
            [routes.queue_of(handler.name) for handler in handlers],
            connection=connect_blocking(config.redis_url),
            num_workers=workers,
            worker_class=LaneWorker,
            serializer=JSONSerializer,
        )
        self._config = config
        self._patience = max((handler.timeout for handler in handlers), default=0.0) + GRACE
        self._stopped_at = 0.0
        self._dispatcher: Any = None

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; then let everything end cleanly.

        What is forked from here on (workers, their schedulers, the dispatcher) ends when its parent dies.
        """
        os.register_at_fork(after_in_child=die_with_parent())
        os.register_at_fork(after_in_child=_end_when_told)
        self.start(logging_level="WARNING")

    def start_workers(self, *args: Any, **kwargs: Any) -> None:
        """Start the dispatcher before the workers."""
        self._start_dispatcher()
        super().start_workers(*args, **kwargs)

    def check_workers(self, respawn: bool = True) -> None:
        """Replace whatever has died."""
        if not self._dispatcher.is_alive() and self.status != self.Status.STOPPED:
            _log.warning("the dispatcher died and is started again", exit_code=self._dispatcher.exitcode)
            self._start_dispatcher()
        super().check_workers(respawn)

    def handle_dead_worker(self, worker_data: Any) -> None:
        """Say so when a worker died that nobody has stopped."""
        if self.status != self.Status.STOPPED:
            _log.warning("a worker died", pid=worker_data.pid, exit_code=worker_data.process.exitcode)
        super().handle_dead_worker(worker_data)

    def stop_workers(self) -> None:
        """Tell the dispatcher and the workers to end."""
        self._stopped_at = self._stopped_at or time.monotonic()
        if self._dispatcher.is_alive():
            os.kill(self._dispatcher.pid, signal.SIGTERM)
        super().stop_workers()  # type: ignore[no-untyped-call] # RQ leaves it untyped

    def all_workers_have_stopped(self) -> bool:
        """Tell whether everything has ended; end by force what takes longer than any attempt may."""
        if time.monotonic() - self._stopped_at > self._patience:
            for worker in self.worker_dict.values():
                _log.error("a worker does not end, and is killed; its events are taken over", pid=worker.pid)
                worker.process.kill()
        return bool(super().all_workers_have_stopped()) and not self._dispatcher.is_alive()

    def _start_dispatcher(self) -> None:
        self._dispatcher = _fork.Process(target=dispatch, args=(self._config,), name="dispatcher")
        self._dispatcher.start()


def dispatch(config: Settings) -> None:
    """Run a dispatcher until SIGTERM."""
    uvloop.run(_dispatch(config))


async def _dispatch(config: Settings) -> None:
    assert config.redis_url is not None
    client = connect(config.redis_url)
    dispatcher = Dispatcher(
        client,
        connect_blocking(config.redis_url),
        dedupe_window=config.dedupe_window,
        retention=config.retention,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, dispatcher.stopping.set)
    try:
        await dispatcher.run()
    finally:
        await client.aclose()


def quiet_rq() -> None:
    """Keep RQ's line-by-line account of each job out of the logs: a drain is no news."""
    for name in ("rq.worker", "rq.job", "rq.scheduler", "rq.worker_pool"):
        logging.getLogger(name).setLevel(logging.WARNING)
