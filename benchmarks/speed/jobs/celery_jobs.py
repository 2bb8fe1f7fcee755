"""Celery with Redis, results ignored. It prefetches 1,000 jobs and acknowledges early, as is its default.

So a worker that dies loses what it ran. (Redis gives out again what was not acknowledged after an hour.)
`worker_prefetch_multiplier` is 1,000 by one process (4 is the default, which is slower).
"""

from __future__ import annotations

import os
import time
from functools import partial

from celery import Celery
from starlette.concurrency import run_in_threadpool

from benchmarks.speed.jobs.count import SLEEP, tick

_url = os.environ.get("BENCH_REDIS", "redis://").replace("unix://", "redis+socket://")
app = Celery("bench", broker=_url)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1000,
    broker_pool_limit=40,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="handle")  # type: ignore[untyped-decorator] # theirs has no types
def handle(text: str) -> None:
    """Do nothing, or wait."""
    if SLEEP:
        time.sleep(SLEEP)
    tick()


async def put(text: str) -> None:
    """Enqueue a job."""
    await run_in_threadpool(partial(handle.delay, text))
