"""A time limit that holds, whatever the work does."""

from __future__ import annotations

import asyncio

from receiver.pipeline import limits
from receiver.pipeline.limits import Limited


async def test_time_is_over_before_the_work_begins(monkeypatch):
    """Where the loop stood still so long, the work is cancelled before it has begun, and that is its end."""
    monkeypatch.setattr(limits, "ENDS_WITHIN", 60)
    begun = []

    async def work():
        begun.append(True)

    limited = Limited(work, 0)
    limited._expire()  # a timer may come before the task's first step
    async with asyncio.timeout(10):
        await limited.end()
    assert (limited.expired, limited.runs, begun) == (True, False, [])


async def test_somebody_else_cancels_the_work_before_it_begins():
    """Its time is over then all the same, and nobody waits for it."""

    async def work():
        pass

    before = asyncio.all_tasks()
    limited = Limited(work, 0.05)
    [task] = asyncio.all_tasks() - before
    task.cancel()
    async with asyncio.timeout(10):
        await limited.end()
    assert not limited.runs
