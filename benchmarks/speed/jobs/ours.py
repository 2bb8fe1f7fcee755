"""The receiver's handlers: BENCH_HANDLERS of them, which do nothing, wait, or note when they began."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.speed.jobs.count import SLEEP, tick
from receiver import Context, Event, Handlers
from receiver.cli.notes import FILE, Notes

handlers = Handlers("speed")


async def nothing(event: Event, context: Context) -> None:
    """Do nothing."""
    tick()


async def wait(event: Event, context: Context) -> None:
    """Wait, as if for an answer from somewhere."""
    await asyncio.sleep(SLEEP)
    tick()


def _noting(notes: Notes) -> Callable[[Event, Context], Awaitable[None]]:
    async def note(event: Event, context: Context) -> None:
        notes.add(event.raw["payload"]["message_id"])
        tick()

    return note


def _choose() -> Callable[[Event, Context], Awaitable[None]]:
    if FILE in os.environ:
        return _noting(Notes(Path(os.environ[FILE])))
    return wait if SLEEP else nothing


for _number in range(int(os.environ.get("BENCH_HANDLERS", "1"))):
    handlers.on("group_channel:message_send", name=f"h{_number}")(_choose())
