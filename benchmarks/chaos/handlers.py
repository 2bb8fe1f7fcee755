"""The handlers of the chaos run. They note what they do in files, independent of Redis and of its faults."""

from __future__ import annotations

import asyncio
import os
import random
import time

from receiver import Context, Event, Handlers

handlers = Handlers("chaos")
_ledger = os.open(os.environ["CHAOS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(what: str, event: Event, context: Context) -> None:
    """Write a line, whole: what happened, to which event of which channel, in which attempt and process.

    The event's id tells a repeated delivery from a repeated request; the time is in seconds.
    """
    channel, number = event.raw["channel"]["channel_url"], event.raw["payload"]["number"]
    line = f"{what} {context.handler} {channel} {number} {event.id} {context.attempt} {os.getpid()}"
    line += f" {time.time():.3f}\n"
    os.write(_ledger, line.encode())


@handlers.on("group_channel:message_send", retries=25)
async def quick(event: Event, context: Context) -> None:
    """Do nothing, at once."""
    note("done", event, context)


@handlers.on("group_channel:message_send", retries=25)
async def slow(event: Event, context: Context) -> None:
    """Take a while, with a side effect that happens once."""
    note("begun", event, context)
    await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - load, no secret
    async with context.once("effect") as first:
        if first:
            note("effect", event, context)
    note("done", event, context)


@handlers.on("group_channel:message_send", retries=25)
async def flaky(event: Event, context: Context) -> None:
    """Fail one time in twenty."""
    if random.random() < 0.05:  # noqa: S311 - load, no secret
        note("failed", event, context)
        context.retry_after(0.2)
    note("done", event, context)
