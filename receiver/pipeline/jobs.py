"""RQ jobs that drain a lane. They carry the lane's name only; the events stay in the lane."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import Any
from uuid import uuid4

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from receiver.pipeline.routes import handler_of, queue_of, suspects_queue_of

FUNCTION = "receiver.pipeline.worker.drain"
KEEP_FAILED = 3600
"""Seconds that RQ keeps a failed drain. (Its default is a year.)"""
NO_LIMIT = -1
"""A drain ends by its own slice and the handlers' timeouts; RQ's alarm would hit a random handler."""


@lru_cache(maxsize=1024)
def _queue(client: Redis, name: str) -> Queue:
    return Queue(name, connection=client, serializer=JSONSerializer)


class DrainJob(Job):
    """A job as our own workers read it: it drains a lane, and does nothing else.

    A job names its function and its callbacks, and RQ imports and calls whatever they say, and sends webhooks
    where it says: who could write to Redis could run any code in the workers. (RQ's own `rq worker` does.)
    """

    success_callback = None
    failure_callback = None
    stopped_callback = None

    @property
    def func(self) -> Callable[[str], None]:
        """The function that drains.

        Raises:
            PermissionError: the job names another one.
        """
        if self.func_name != FUNCTION or self.instance is not None:
            raise PermissionError(f"this worker runs {FUNCTION} only; somebody else has written a job here")
        function: Callable[[str], None] = super().func
        return function

    def send_webhooks(self, *_: Any, **__: Any) -> None:
        """Send none."""


def job_prefix(lane: str) -> str:
    """Return how the ids of this lane's jobs begin. (RQ allows letters, digits, '_' and '-' only.)"""
    return f"drain-{hashlib.blake2b(lane.encode(), digest_size=8).hexdigest()}-"


def _job(client: Redis, lane: str, suffix: str) -> Job:
    return Job.create(
        FUNCTION,
        args=(lane,),
        id=job_prefix(lane) + suffix,
        connection=client,
        serializer=JSONSerializer,
        description=f"drain {lane}",
        result_ttl=0,
        failure_ttl=KEEP_FAILED,
        timeout=NO_LIMIT,
    )


def wake(client: Redis, lanes: Iterable[str], *, suspects: bool = False) -> None:
    """Enqueue a drain for each of `lanes`, or one of its suspects.

    One too many does no harm: it finds the lane owned, or empty.
    """
    name = suspects_queue_of if suspects else queue_of
    with client.pipeline(transaction=False) as pipeline:
        for lane in lanes:
            queue = _queue(client, name(handler_of(lane)))
            queue.enqueue_job(_job(client, lane, uuid4().hex), pipeline=pipeline)
        pipeline.execute()


def wake_at(client: Redis, lane: str, due: float) -> None:
    """Have RQ's scheduler enqueue a drain at `due` (milliseconds since the epoch)."""
    second = ceil(due / 1000)  # the scheduler knows whole seconds only
    job = _job(client, lane, f"at-{second}")
    queue = _queue(client, queue_of(handler_of(lane)))
    queue.schedule_job(job, datetime.fromtimestamp(second, UTC))


def wake_due(client: Redis, lane: str, due: float) -> bool:
    """Enqueue now what `wake_at` has left to RQ's scheduler for `due`; tell whether it was there still."""
    suffix = f"at-{ceil(due / 1000)}"
    queue = _queue(client, queue_of(handler_of(lane)))
    if not client.zrem(queue.scheduled_job_registry.key, job_prefix(lane) + suffix):
        return False
    queue.enqueue_job(_job(client, lane, suffix))
    return True


def has_job(client: Redis, lane: str, *, suspects: bool = False) -> bool:
    """Tell whether a drain of `lane` waits in its RQ queue, or in the one for suspects."""
    prefix = job_prefix(lane)
    name = suspects_queue_of if suspects else queue_of
    return any(job_id.startswith(prefix) for job_id in _queue(client, name(handler_of(lane))).job_ids)
