"""RQ, as its guide has it: `queue.enqueue(function, argument)`, from a thread where a loop runs.

`result_ttl=0`: no results are kept. It guarantees at least once only while the work horse's parent lives
(jobs of a dead one are marked failed, not repeated), and no order among several workers.
"""

from __future__ import annotations

import os
import time

import redis
from rq import Queue
from starlette.concurrency import run_in_threadpool

from benchmarks.speed.jobs.count import SLEEP, tick

queue = Queue(connection=redis.Redis.from_url(os.environ.get("BENCH_REDIS", "redis://")))


def handle(text: str) -> None:
    """Do nothing, or wait."""
    if SLEEP:
        time.sleep(SLEEP)
    tick()


async def put(text: str) -> None:
    """Enqueue a job."""
    await run_in_threadpool(queue.enqueue, handle, text, result_ttl=0)
