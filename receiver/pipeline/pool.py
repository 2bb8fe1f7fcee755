"""`receiver work`: RQ's worker pool, and beside it a dispatcher that leads when nobody else does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import structlog
import uvloop
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerData, WorkerPool, run_worker

from receiver import garbage, hangup
from receiver.children import die_with_parent
from receiver.pipeline import lifespans, limits, obituaries, routes
from receiver.pipeline.connection import connect, connect_blocking
from receiver.pipeline.dispatcher import Dispatcher, depose
from receiver.pipeline.pulse import Pulse
from receiver.pipeline.runtime import BLOCKED
from receiver.pipeline.vitals import Vitals
from receiver.pipeline.worker import LaneWorker, LonelyWorker, SuspectsWorker
from receiver.plugins import Handler
from receiver.seldom import Seldom
from receiver.settings import Settings

GRACE = limits.ENDS_WITHIN + lifespans.ENDS_WITHIN + 2.0
"""Seconds beyond its last attempt that a worker has to end."""
SETTLED = 10.0
"""Seconds after which a worker that dies is replaced at once: it did work. So did one that had events."""
LONGEST_PAUSE = 30.0
"""Seconds before another worker is started, where one after the other dies as soon as it has begun."""
LONELY_WORKERS = 2
"""Processes that run one suspect each. While one of them is blocked, the other goes on."""

_log = structlog.get_logger("receiver.pool")
_fork = multiprocessing.get_context("fork")  # RQ's pool forks, too: the workers share what is loaded


def _end_when_told() -> None:
    """End a new process on the first signal, until it has handlers of its own: it has nothing to lose.

    It would inherit the pool's, and stop its siblings instead of itself.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


class Pool(WorkerPool):
    """Keeps `workers` processes at work on the queues of `handlers`, and a dispatcher alive.

    What they had when they died is run by one more process, as long as there is such a thing. `grace` is
    how many seconds attempts have to end when the pool is told to.
    """

    def __init__(self, config: Settings, handlers: Sequence[Handler], workers: int, *, grace: float) -> None:
        assert config.redis_url is not None
        super().__init__(
            [routes.queue_of(handler.name) for handler in handlers],
            connection=connect_blocking(config.redis_url),
            num_workers=workers,
            worker_class=LaneWorker,
            serializer=JSONSerializer,
        )
        self._config = config
        self._patience = min(grace, max((one.timeout for one in handlers), default=0.0)) + GRACE
        self._suspects_queues = [routes.suspects_queue_of(handler.name) for handler in handlers]
        self._suspects_workers: list[WorkerData] = []
        self._most_suspects_workers = LONELY_WORKERS + len(self._suspects_queues)
        self._one_by_one = False
        self._vitals: dict[str, Vitals] = {}
        self._quick_deaths = 0
        self._pause_until = 0.0
        self._stopped_at = 0.0
        LaneWorker.grace = grace
        self._dispatcher: Any = None

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; then let everything end cleanly.

        What is forked from here on (workers, their schedulers, the dispatcher) ends when its parent dies.
        """
        os.register_at_fork(after_in_child=die_with_parent())
        os.register_at_fork(after_in_child=_end_when_told)
        garbage.settle()
        with hangup.held():
            self.start(logging_level="WARNING")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # one more, while the interpreter ends

    def start_workers(self, *args: Any, **kwargs: Any) -> None:
        """Start the dispatcher before the workers."""
        self._start_dispatcher()
        super().start_workers(*args, **kwargs)

    def check_workers(self, respawn: bool = True) -> None:
        """Replace whatever has died. Say what a SIGHUP doesn't do."""
        if hangup.came():
            _log.warning("SIGHUP changes nothing here: workers read their settings when they start")
        if not self._dispatcher.is_alive() and self.status != self.Status.STOPPED:
            _log.warning("the dispatcher died and is started again", exit_code=self._dispatcher.exitcode)
            with contextlib.suppress(RedisError, OSError):  # its lease ends by itself
                depose(self.connection, self._dispatcher.pid)
            self._start_dispatcher()
        self._kill_what_cannot_go_on()
        super().check_workers(respawn and time.monotonic() >= self._pause_until)
        self._look_after_suspects()

    def start_worker(self, *args: Any, **kwargs: Any) -> None:
        """Start a worker, and watch it."""
        vitals = self._new_vitals()
        super().start_worker(*args, **kwargs)
        self._vitals[next(reversed(self.worker_dict))] = vitals

    def handle_dead_worker(self, worker_data: WorkerData) -> None:
        """Free what a dead worker had. Where one after the other dies, make a pause."""
        lived = self._vitals[worker_data.name].lived
        events = self._bury(worker_data)
        super().handle_dead_worker(worker_data)
        self._quick_deaths = self._quick_deaths + 1 if lived < SETTLED and not events else 0
        pause = min(LONGEST_PAUSE, 2.0 ** (self._quick_deaths // self.num_workers) - 1)
        self._pause_until = time.monotonic() + pause
        if pause and self.status != self.Status.STOPPED:
            _log.error("workers die as soon as they have begun", next_in=f"{pause:.0f} s")

    def stop_workers(self) -> None:
        """Tell the dispatcher and the workers to end."""
        if not self._stopped_at:
            self._stopped_at = time.monotonic()
            _log.info("ends: what runs is let end", grace=f"{LaneWorker.grace:g} s")
        if self._dispatcher.is_alive():
            os.kill(self._dispatcher.pid, signal.SIGTERM)
        for worker in self._suspects_workers:
            self.stop_worker(worker)
        super().stop_workers()  # type: ignore[no-untyped-call] # RQ leaves it untyped

    def all_workers_have_stopped(self) -> bool:
        """Tell whether everything has ended; end by force what takes longer than any attempt may."""
        if time.monotonic() - self._stopped_at > self._patience:
            for worker in self._all_workers():
                _log.error("a worker does not end, and is killed; its events are taken over", pid=worker.pid)
                worker.process.kill()
        self._reap_suspects_workers()
        ended = bool(super().all_workers_have_stopped()) and not self._dispatcher.is_alive()
        return ended and not self._suspects_workers

    def _all_workers(self) -> list[WorkerData]:
        return [*self.worker_dict.values(), *self._suspects_workers]

    def _kill_what_cannot_go_on(self) -> None:
        for worker in self._all_workers():
            if worker.process.is_alive() and self._vitals[worker.name].look(worker.pid):
                worker.process.kill()

    def _bury(self, worker: WorkerData) -> int:
        """Free the lanes that a dead worker had, and say what it died of; return how many events it had."""
        code = worker.process.exitcode
        why = self._vitals.pop(worker.name).why
        why = why or ("a handler blocked its event loop" if code == BLOCKED else obituaries.cause(code))
        try:
            events = obituaries.tell(self.connection, worker.name, why)
        except (RedisError, OSError):
            if code:
                _log.warning(
                    "a worker died, and Redis is away: its leases have to run out", pid=worker.pid, why=why
                )
            return 0
        if code or events:
            _log.warning("a worker died", pid=worker.pid, why=why, events=events)
        return events

    def _look_after_suspects(self) -> None:
        """Have what dead workers had run by a process of its own; if that dies, one by one.

        One that has something slow takes no more jobs for as long: another one goes on in its place.
        """
        self._reap_suspects_workers()
        most = LONELY_WORKERS if self._one_by_one else 1
        room = min(most - self._quick(), self._most_suspects_workers - len(self._suspects_workers))
        if self.status == self.Status.STOPPED or not self.num_workers or room <= 0:
            return
        try:
            with self.connection.pipeline(transaction=False) as pipeline:
                for queue in self._suspects_queues:
                    pipeline.llen(f"{Queue.redis_queue_namespace_prefix}{queue}")
                waiting = sum(pipeline.execute())
        except (RedisError, OSError):
            return
        for _ in range(min(waiting, room)):
            self._start_suspects_worker()

    def _reap_suspects_workers(self) -> None:
        ended = [worker for worker in self._suspects_workers if not worker.process.is_alive()]
        for worker in ended:
            self._suspects_workers.remove(worker)
        died = [worker for worker in ended if self._bury(worker) or worker.process.exitcode]
        if ended:
            self._one_by_one = bool(died) or (self._one_by_one and self._quick() > 0)

    def _quick(self) -> int:
        """Return how many workers for suspects go on taking jobs."""
        return sum(not self._vitals[worker.name].slow for worker in self._suspects_workers)

    def _start_suspects_worker(self) -> None:
        name, vitals = uuid4().hex, self._new_vitals()
        process = _fork.Process(
            target=run_worker,
            args=(name, self._suspects_queues, self._connection_class, self._pool_class, self._pool_kwargs),
            kwargs={
                "worker_class": LonelyWorker if self._one_by_one else SuspectsWorker,
                "serializer": self.serializer,
                "burst": True,
                "logging_level": "WARNING",
            },
        )
        process.start()
        assert process.pid is not None
        self._suspects_workers.append(WorkerData(name, process.pid, process))
        self._vitals[name] = vitals

    def _new_vitals(self) -> Vitals:
        """Make the vitals of the worker that is started next: it is born with its pulses."""
        LaneWorker.pulse, LaneWorker.looks = pulse, looks = Pulse(), Pulse()
        return Vitals(pulse, looks, self._config.worker_memory)

    def _start_dispatcher(self) -> None:
        self._dispatcher = _fork.Process(target=dispatch, args=(self._config,), name="dispatcher")
        self._dispatcher.start()


def dispatch(config: Settings) -> None:
    """Run a dispatcher until SIGTERM."""
    uvloop.run(_dispatch(config))


async def _dispatch(config: Settings) -> None:
    assert config.redis_url is not None
    client = connect(config.redis_url, keyring=config.keyring)
    dispatcher = Dispatcher(
        client,
        connect_blocking(config.redis_url),
        dedupe_window=config.dedupe_window,
        retention=config.retention,
        inbox_limit=config.inbox_limit,
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
    seldom = Seldom()
    logging.getLogger("rq.worker").addFilter(
        lambda record: "could not connect" not in str(record.msg) or bool(seldom("could not connect"))
    )
