"""The job queues that the receiver's drain is compared with: how a job gets in, and what works on them.

Each has one worker process, is set up as its guide recommends for much work, and keeps no results. Where a
contestant's threads or tasks at once matter only to handlers that wait, it has more of them for those: for
doing nothing, threads beyond its default only get in its way. What each guarantees stands in `jobs/`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.speed import bodies, clones
from benchmarks.speed.children import Child, Failed, python_of
from benchmarks.speed.options import ROOT
from receiver.embedded import EmbeddedRedis

AT_ONCE = 64
"""Threads of those that have threads, for handlers that wait."""
_PUT = "import asyncio, sys; from benchmarks.speed.jobs.{module} import put; asyncio.run(put(sys.argv[1]))"


@dataclass(frozen=True)
class Queue:
    """A contestant. `command` makes the worker's, given whether its handler waits."""

    name: str
    module: str
    command: Callable[[bool], Sequence[str]]
    python: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    needs: str = "python3"
    first: float = 60.0
    """Seconds within which it begins."""

    @property
    def here(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.needs) is not None

    def fill(self, server: EmbeddedRedis, count: int, folder: Path) -> None:
        """Put `count` jobs, each with a webhook's body."""
        text = bodies.body(1).decode()
        environment = self._environment(server)
        if self.module == "work.rb":
            (folder / "body").write_text(text)
            environment["BENCH_PUT"] = str(folder / "body")
            command = ["ruby", str(ROOT / "benchmarks/speed/jobs/work.rb")]
        else:
            command = [_python(self.python), "-c", _PUT.format(module=self.module), text]
        done = subprocess.run(  # noqa: S603 - ours
            command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failed(f"{self.name}: {done.stderr}")
        with redis.Redis.from_url(server.url) as client:
            clones.clone(client, count)

    def work(self, server: EmbeddedRedis, folder: Path, *, waits: bool, **more: str) -> Child:
        """Start the worker."""
        command = [server.url if word == "URL" else word for word in self.command(waits)]
        return Child(command, folder / "worker.log", environment=self._environment(server) | more)

    def _environment(self, server: EmbeddedRedis) -> dict[str, str]:
        path = server.url.removeprefix("unix://")
        return {
            "BENCH_REDIS": server.url,
            "BENCH_SOCKET": path,
            "PYTHONPATH": str(ROOT),
            **dict(self.environment),
        }


def _python(name: str) -> str:
    return python_of(name) if name else sys.executable


def _rq(worker: str) -> Callable[[bool], Sequence[str]]:
    words = [sys.executable, "-m", "rq.cli", "worker", "--url", "URL", "--worker-class", worker, "--quiet"]
    return lambda waits: words


def _arq(settings: str) -> Callable[[bool], Sequence[str]]:
    return lambda waits: [python_of("arq"), "-m", "arq", f"benchmarks.speed.jobs.arq_jobs.{settings}"]


def _taskiq(waits: bool) -> Sequence[str]:
    words = ["worker", "benchmarks.speed.jobs.taskiq_jobs:broker", "--workers", "1", "--log-level", "WARNING"]
    return [sys.executable, "-m", "taskiq", *words, "--max-async-tasks", "1000", "--max-prefetch", "1000"]


def _dramatiq(waits: bool) -> Sequence[str]:
    words = [
        "benchmarks.speed.jobs.dramatiq_jobs",
        "--processes",
        "1",
        "--threads",
        str(AT_ONCE if waits else 8),
    ]
    return [sys.executable, "-m", "dramatiq", *words]


def _celery(pool: str) -> Callable[[bool], Sequence[str]]:
    def command(waits: bool) -> Sequence[str]:
        many = "1" if pool == "prefork" else str(AT_ONCE if waits else 8)
        words = ["-A", "benchmarks.speed.jobs.celery_jobs", "worker", "--pool", pool, "--concurrency", many]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
        return [python_of("celery"), "-m", "celery", *words, *quiet]

    return command


def _sidekiq(waits: bool) -> Sequence[str]:
    work = str(ROOT / "benchmarks/speed/jobs/work.rb")
    return ["sidekiq", "-r", work, "-c", str(AT_ONCE if waits else 10), "-q", "default"]


QUEUES = (
    Queue("RQ Worker", "rq_jobs", _rq("rq.Worker")),
    Queue("RQ SimpleWorker", "rq_jobs", _rq("rq.SimpleWorker")),
    Queue("arq", "arq_jobs", _arq("Default"), "arq"),
    Queue("arq, tuned", "arq_jobs", _arq("Tuned"), "arq"),
    Queue("taskiq, list", "taskiq_jobs", _taskiq),
    Queue("taskiq, stream", "taskiq_jobs", _taskiq, environment=(("BENCH_STREAM", "1"),)),
    Queue("dramatiq", "dramatiq_jobs", _dramatiq, environment=(("dramatiq_queue_prefetch", "1000"),)),
    Queue("Celery, prefork", "celery_jobs", _celery("prefork"), "celery"),
    Queue("Celery, threads", "celery_jobs", _celery("threads"), "celery"),
    Queue("Sidekiq", "work.rb", _sidekiq, needs="sidekiq"),
)
