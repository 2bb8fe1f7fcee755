"""A plugin of poisons: each handler does what a handler must not do, and beside them is one that is well."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

from receiver import Context, Event, Handlers
from receiver.pipeline import limits, pulse, runtime, vitals

# What takes 20 s in earnest takes 1 s here. A machine that stands still itself for a while blames nobody.
runtime.STUCK_AFTER = 1.0
vitals.GRACE = 2.5
pulse.LONGEST_STEP = 1.0
limits.ENDS_WITHIN = 0.5

handlers = Handlers("poison")
folder = Path(os.environ["POISON_FOLDER"])


def on(name, **options):
    return handlers.on(f"poison:{name}", name=name, **{"retries": 0, "timeout": 1, **options})


def note(file, *words):
    with (folder / file).open("a") as lines:
        lines.write(" ".join(map(str, words)) + "\n")


@handlers.on("*", name="well", retries=0, where=lambda event: "n" in event.raw)
async def well(event: Event, context: Context) -> None:
    note("begun", event.conversation, event.raw["n"], os.getpid())
    await asyncio.sleep(0.05)
    note("seen", event.conversation, event.raw["n"], os.getpid())


@on("hangs")
async def hangs(event, context):
    await asyncio.Event().wait()


@on("plain_hangs")
def plain_hangs(event, context):
    time.sleep(600)


@on("swallows")
async def swallows(event, context):
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(600)


@on("late")
async def late(event, context):
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        return


@on("plain_late")
def plain_late(event, context):
    time.sleep(1.5)


@on("exits")
async def exits(event, context):
    raise SystemExit(0)


@on("plain_exits")
def plain_exits(event, context):
    raise SystemExit


@on("interrupts")
async def interrupts(event, context):
    raise KeyboardInterrupt


@on("generator")
async def generator(event, context):
    raise GeneratorExit


@on("plain_stops")
def plain_stops(event, context):
    next(iter(()))


@on("task_exits")
async def task_exits(event, context):
    async def inner():
        raise SystemExit(3)

    await asyncio.create_task(inner())


@on("dies", retries=1)
async def dies(event, context):
    os.kill(os.getpid(), signal.SIGKILL)


@on("plain_dies")
def plain_dies(event, context):
    os.kill(os.getpid(), signal.SIGKILL)


@on("ends")
async def ends(event, context):
    os._exit(0)


@on("crashes")
async def crashes(event, context):
    ctypes.string_at(0)


@on("blocks")
async def blocks(event, context):
    time.sleep(600)


@on("plain_locks", timeout=600)
def plain_locks(event, context):
    re.match("(a*)*b", "a" * 60)  # holds Python's lock all the while


@on("waits", retries=9, timeout=600)
async def waits(event, context):
    note("waits", event.conversation, os.getpid())
    while not (folder / "gate").exists():
        await asyncio.sleep(0.02)


@on("eats", timeout=600)
async def eats(event, context):
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * 20_000_000))
        await asyncio.sleep(0.01)


def predicate_blocks(event):
    time.sleep(600)


@on("where_blocks", where=predicate_blocks)
async def where_blocks(event, context):
    raise AssertionError


@on("where_raises", where=lambda event: event.nothing)
async def where_raises(event, context):
    raise AssertionError
