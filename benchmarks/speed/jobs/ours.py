"""The receiver's handlers: BENCH_HANDLERS of them, which do nothing, wait, or note when they began."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.speed.jobs.count import SLEEP, tick
from receiver import Context, Event, Handlers

handlers = Handlers("speed")
_notes: array[int] = array("Q")
"""Message ids, each with the time of its handler's begin (ns)."""


async def nothing(event: Event, context: Context) -> None:
    """Do nothing."""
    tick()


async def wait(event: Event, context: Context) -> None:
    """Wait, as if for an answer from somewhere."""
    await asyncio.sleep(SLEEP)
    tick()


async def note(event: Event, context: Context) -> None:
    """Note which message it is, and when this began: in memory, and every half a second in a file."""
    _notes.extend((event.raw["payload"]["message_id"], time.time_ns()))
    tick()


def _write(file: Path) -> None:
    global _notes  # noqa: PLW0603 - the one place where the notes change hands
    full, _notes = _notes, array("Q")
    if full:
        with file.open("ab") as output:
            full.tofile(output)


def _write_often(file: Path) -> None:
    while True:
        time.sleep(0.5)
        _write(file)


def _choose() -> Callable[[Event, Context], Awaitable[None]]:
    if "BENCH_NOTES" in os.environ:
        file = Path(os.environ["BENCH_NOTES"])

        def begin() -> None:
            threading.Thread(target=_write_often, args=(file,), daemon=True).start()

        os.register_at_fork(after_in_child=begin)
        atexit.register(_write, file)
        return note
    return wait if SLEEP else nothing


for _number in range(int(os.environ.get("BENCH_HANDLERS", "1"))):
    handlers.on("group_channel:message_send", name=f"h{_number}")(_choose())
