"""arq, as its guide has it; "tuned": 1,000 jobs at once, read 5,000 at a time, polled every 10 ms.

`keep_result = 0`: no results are kept. It guarantees at least once (a job's key stays until it has ended),
no order, and finds the jobs of a dead worker after their time limit (300 s).
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.speed.jobs.count import SLEEP, tick

_settings = RedisSettings.from_dsn(os.environ.get("BENCH_REDIS", "redis://localhost"))
_state: dict[str, Any] = {}


async def handle(context: dict[str, Any], text: str) -> None:
    """Do nothing, or wait."""
    if SLEEP:
        await asyncio.sleep(SLEEP)
    tick()


class Default:
    """Settings of the worker: arq's own."""

    functions: ClassVar[list[Any]] = [handle]
    redis_settings = _settings
    keep_result = 0


class Tuned:
    """Settings of the worker that has much to do. (arq doesn't look at what a class inherits.)"""

    functions: ClassVar[list[Any]] = [handle]
    redis_settings = _settings
    keep_result = 0
    max_jobs = 1000
    queue_read_limit = 5000
    poll_delay = 0.01
    log_results = False


async def put(text: str) -> None:
    """Enqueue a job."""
    if "pool" not in _state:
        _state["pool"] = await create_pool(_settings)
    await _state["pool"].enqueue_job("handle", text)
