"""The RQ side: the job that drains a lane, and the workers that run it.

`drain` is an ordinary RQ job, so any `rq worker --serializer json` can run it; there, it lasts as long as
the drain. In a `LaneWorker` it only begins the drain, which goes on beside others on a loop that stays
warm: a handler that is slow, or hangs, keeps no other handler waiting.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
import time
from types import FrameType
from typing import Any, ClassVar

from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import DequeueStrategy, WorkerStatus

from receiver import discovery, settings
from receiver.children import signals_blocked
from receiver.pipeline.drain import SLICE
from receiver.pipeline.jobs import DrainJob
from receiver.pipeline.lanes import Suspects
from receiver.pipeline.pulse import Pulse
from receiver.pipeline.routes import queue_of
from receiver.pipeline.runtime import Runtime
from receiver.redaction import clean

WORKER_TTL = 60
"""Seconds after which RQ takes a silent worker for dead."""
WAITS = 10
"""Seconds that a worker waits for a job before it looks around."""
LOOKS_FOR_REDIS = 2.0
"""Seconds between tries while Redis is away. (RQ's own wait doubles up to a minute.)"""
SCHEDULER_EVERY = 5.0
"""Seconds between looks whether RQ's scheduler lives. (RQ itself looks every ten minutes.)"""
SECOND_SIGNAL = 1.0
"""Seconds after which another signal counts: the first one may come twice, from the pool and the system."""


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
    """Drain `lane`: the RQ job. Whatever worker runs it gives up if a handler blocks the loop."""
    here = runtime()
    here.watch()
    here.drain(lane)


class LaneWorker(SimpleWorker):
    """RQ's worker without forking: it begins drains, and lets them run beside each other.

    What a worker had that died is left to a worker for suspects. `pulse` and `grace` are its pool's, and
    `looks`, which beats when it looks for a job.
    """

    alone: ClassVar[bool] = False
    suspects: ClassVar[Suspects] = "none"
    strategy: ClassVar[DequeueStrategy] = DequeueStrategy.ROUND_ROBIN
    pulse: ClassVar[Pulse | None] = None
    looks: ClassVar[Pulse | None] = None
    grace: ClassVar[float] = math.inf
    max_connection_wait_time = LOOKS_FOR_REDIS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "worker_ttl": WORKER_TTL, "job_class": DrainJob})
        # RQ's pool makes queues that unpickle, and import, what a job that somebody has left there says.
        self.queues = [
            Queue(one.name, connection=one.connection, job_class=DrainJob, serializer=JSONSerializer)
            for one in self.queues
        ]
        self._ordered_queues = self.queues[:]
        self._told_to_end = math.inf
        self._scheduler_seen = time.monotonic()

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Work until told to stop; then let the drains end, and the process with them."""
        quiet = {"logging_level": "WARNING", "dequeue_strategy": self.strategy}
        try:
            return bool(super().work(*args, **{**kwargs, **quiet}))
        finally:
            if self._told_to_end == math.inf:
                runtime().grace = math.inf  # nobody waits for it
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, self._hurry)
                if self.suspects == "only":
                    runtime().wait(SLICE)
            runtime().finish()
            logging.shutdown()
            sys.stdout.flush()
            os._exit(0)  # threads of plain functions that hang would keep the process alive

    def _install_signal_handlers(self) -> None:
        """Make the runtime here, where RQ has forked its scheduler and begins to wait for jobs."""
        here = runtime()
        here.name, here.alone, here.suspects, here.grace = self.name, self.alone, self.suspects, self.grace
        here.pulse = self.pulse or here.pulse
        here.watch()
        if self.suspects == "none":
            here.listen([name for name in here.handlers if queue_of(name) in self.queue_names()])
        super()._install_signal_handlers()  # type: ignore[no-untyped-call] # RQ leaves it untyped

    def dequeue_job_and_maintain_ttl(self, *args: Any, **kwargs: Any) -> Any:
        """Take the next job, and tell the pool that it is asked for."""
        if self.looks:
            self.looks.beat()
        return super().dequeue_job_and_maintain_ttl(*args, **kwargs)

    @property
    def dequeue_timeout(self) -> int:
        """For how many seconds it waits for a job at a time."""
        return WAITS

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        """Tell RQ that this worker lives, and bring its scheduler back, or that of a worker that died."""
        super().heartbeat(*args, **kwargs)
        if self.scheduler and time.monotonic() - self._scheduler_seen > SCHEDULER_EVERY:
            self._scheduler_seen = time.monotonic()
            process: Any = self.scheduler._process
            if process is None or not process.is_alive():
                self.scheduler.acquire_locks(auto_start=True)  # type: ignore[no-untyped-call] # as above

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: Any = None, exc_string: str = ""
    ) -> None:
        """Have RQ keep no secret of ours with a drain that failed."""
        super().handle_job_failure(job, queue, started_job_registry, clean(exc_string))

    def subscribe(self) -> None:
        """Start RQ's thread for commands without giving it our signals."""
        with signals_blocked():
            super().subscribe()  # type: ignore[no-untyped-call] # RQ leaves it untyped

    def handle_warm_shutdown_request(self) -> None:
        """Tell the drains to end."""
        self._told_to_end = time.monotonic()
        with contextlib.suppress(RuntimeError):  # a loop that is closed has no drains
            runtime().stop()
        if self.get_state() != WorkerStatus.BUSY:
            # RQ would end its scheduler first: half a second in which it loses the job that it is given.
            raise StopRequested

    def _hurry(self, signum: int, frame: FrameType | None) -> None:
        """Give what still runs, when there are no more jobs, its grace: now somebody waits for it."""
        self._told_to_end = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.request_force_stop)
        runtime().grace = self.grace
        runtime().stop()

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """Cut off what runs: whoever sends a second signal doesn't want to wait."""
        if time.monotonic() - self._told_to_end >= SECOND_SIGNAL:
            runtime().cut_off()


class SuspectsWorker(LaneWorker):
    """Runs what workers had that died, one event of each lane at a time, and handlers that are dangerous."""

    suspects = "only"
    strategy = DequeueStrategy.RANDOM  # it may die again and again, and begins anew each time


class LonelyWorker(SuspectsWorker):
    """Runs a single suspect at a time, so that the guilty one is found."""

    alone = True
