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
