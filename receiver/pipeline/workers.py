"""The RQ workers that are alive, and the handlers that none of them has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis
from rq import Worker
from rq.serializers import JSONSerializer

from receiver.pipeline.routes import queue_of

BEATS_WITHIN = 60.0
"""Seconds in which a worker that waits for jobs says that it lives. (A plain `rq worker` has longer, but
begins a drain every few seconds where there is work.)"""


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that has told RQ lately that it lives."""

    name: str
    host: str
    pid: int
    queues: tuple[str, ...]


def running(blocking: redis.Redis) -> list[RunningWorker]:
    """Return the workers that are alive, by name. RQ keeps those that were killed for some minutes."""
    lately = datetime.now(UTC) - timedelta(seconds=BEATS_WITHIN)
    workers = [
        RunningWorker(one.name, one.hostname or "", one.pid or 0, tuple(one.queue_names()))
        for one in Worker.all(connection=blocking, serializer=JSONSerializer)
        if one.last_heartbeat and one.last_heartbeat.replace(tzinfo=UTC) > lately
    ]
    return sorted(workers, key=lambda worker: worker.name)


def without_worker(blocking: redis.Redis, handlers: Iterable[str]) -> list[str]:
    """Return those of `handlers` that no worker runs now: what is for them waits."""
    served = {queue for worker in running(blocking) for queue in worker.queues}
    return sorted({name for name in handlers if queue_of(name) not in served})
