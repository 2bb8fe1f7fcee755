"""dramatiq with its Redis broker and its default middleware, without a result backend.

At least once: a message is acknowledged when it has ended, and those of a dead worker are found after its
heartbeat is a minute old. No order among threads.
"""

from __future__ import annotations

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.speed.jobs.count import SLEEP, tick

broker = RedisBroker(url=os.environ.get("BENCH_REDIS", "redis://"))
dramatiq.set_broker(broker)


@dramatiq.actor  # type: ignore[untyped-decorator] # theirs has no types
def handle(text: str) -> None:
    """Do nothing, or wait."""
    if SLEEP:
        time.sleep(SLEEP)
    tick()


async def put(text: str) -> None:
    """Enqueue a job."""
    handle.send(text)
