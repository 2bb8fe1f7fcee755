"""taskiq with taskiq-redis: a list, or a stream (BENCH_STREAM=1), without a result backend.

The list forgets a job as it gives it out: at most once. The stream has it acknowledged when it has ended: at
least once, found again 10 minutes after a worker's death. No order among the jobs that run at once.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from taskiq_redis import ListQueueBroker, RedisStreamBroker

from benchmarks.speed.jobs.count import SLEEP, tick

_url = os.environ.get("BENCH_REDIS", "redis://")
broker: Any = (
    RedisStreamBroker(_url, consumer_id="0", xread_count=1000)
    if "BENCH_STREAM" in os.environ
    else ListQueueBroker(_url)
)
_started: list[bool] = []


@broker.task(task_name="handle")  # type: ignore[untyped-decorator] # theirs has no types
async def handle(text: str) -> None:
    """Do nothing, or wait."""
    if SLEEP:
        await asyncio.sleep(SLEEP)
    tick()


async def put(text: str) -> None:
    """Enqueue a job."""
    if not _started:
        _started.append(True)
        await broker.startup()
    await handle.kiq(text)
