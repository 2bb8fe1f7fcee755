"""What a developer wants to see when a handler fails: the plugin's own code first.

It shows errors' texts, which may quote what people wrote: it is for a terminal, never for a log.
"""

from __future__ import annotations

import asyncio
import linecache
import os
import re
import sysconfig
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis
from rich.text import Text

import receiver
from receiver.cli.output import OUT, harmless
from receiver.pipeline import histories
from receiver.pipeline.connection import Client
from receiver.pipeline.deliveries import Attempt, Delivery, History
from receiver.pipeline.inbox import Inbox
from receiver.redaction import clean

FOLLOWED = 3600.0
"""Seconds for which the later attempts of an event are followed."""
OFTEN, SELDOM = 0.5, 10.0
"""Seconds between looks: first, and at most. The longer it takes, the less often is looked."""
AROUND = 2
"""Lines that are shown before and behind the one that failed."""

_FRAME = re.compile(r'^[ |+-]*File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_OURS = Path(receiver.__file__).parent
_ELSEWHERE = tuple({os.path.realpath(path) for path in sysconfig.get_paths().values()})


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of code in a traceback."""

    file: str
    line: int
    function: str

    @property
    def is_own(self) -> bool:
        """Whether it is a plugin's: not the receiver's, nor a library's, nor Python's."""
        path = os.path.realpath(self.file)
        if self.file.startswith("<") or Path(path).is_relative_to(_OURS):
            return False
        return not any(Path(path).is_relative_to(folder) for folder in _ELSEWHERE)

    def __str__(self) -> str:
        return f"{_near(self.file)}:{self.line}" + (f" in {self.function}" if self.function else "")


def show_new(event_id: str, history: History, told: set[tuple[str, int]]) -> None:
    """Show every failed attempt of the history that isn't `told`, and add it."""
    for delivery in history.deliveries:
        for attempt in delivery.attempts:
            key = (delivery.handler, attempt.number)
            if attempt.outcome in ("failed", "timed out", "cut off") and key not in told:
                told.add(key)
                OUT.print(shown(delivery.handler, attempt, event_id), soft_wrap=True)


async def follow(
    client: Client, entry: str, event_id: str, seen: History, told: set[tuple[str, int]]
) -> AsyncIterator[Delivery]:
    """Show what fails in later attempts, and give each delivery that had not ended when it was `seen`, and
    has now; for as long as a developer is likely to wait for them.
    """
    over = {one.handler for one in seen.deliveries if is_over(one)}
    began, dispatched = time.monotonic(), False
    while (elapsed := time.monotonic() - began) < FOLLOWED:
        with suppress(redis.RedisError, OSError):
            dispatched = dispatched or await Inbox(client).is_dispatched(entry)
            [history] = await histories.load(client, [entry])
            show_new(event_id, history, told)
            for one in history.deliveries:
                if is_over(one) and one.handler not in over:
                    over.add(one.handler)
                    yield one
            if dispatched and all(map(is_over, history.deliveries)):
                return
        await asyncio.sleep(min(max(OFTEN, elapsed / 20), SELDOM))


def is_over(delivery: Delivery) -> bool:
    """Whether there is no other attempt."""
    return delivery.status not in ("waiting", "retrying")


def shown(handler: str, attempt: Attempt, event_id: str) -> Text:
    """Return a failed attempt as it is shown: where, the lines around, the error, and how to see all."""
    text = Text.assemble(
        (f"\n{handler}", "bold"), (f" {attempt.outcome}", "bold red"), f" in attempt {attempt.number}\n"
    )
    own = [frame for frame in frames(attempt.traceback or "") if frame.is_own]
    if own:
        text.append(harmless(f"{own[-1]}\n"), "cyan")
        text.append(_source(own[-1]))
        for frame in reversed(own[:-1]):
            text.append(harmless(f"called from {frame}\n"), "dim")
    if attempt.error:
        text.append(harmless(f"{clean(attempt.error)}\n"), "red")
    return text.append(f"All of it: receiver events show {event_id}\n", "dim")


def frames(traceback: str) -> list[Frame]:
    """Return the frames of a formatted traceback's last exception, the innermost last."""
    found: list[Frame] = []
    for line in traceback.splitlines():
        if "Traceback (most recent call last):" in line and not line.lstrip().startswith("|"):
            found = []  # an exception before it was the cause, or was being handled
        elif match := _FRAME.match(line):
            found.append(Frame(match["file"], int(match["line"]), match["function"] or ""))
    return found


def _source(frame: Frame) -> Text:
    """Return the lines around; nothing where the file can't be read."""
    linecache.checkcache(frame.file)
    lines = linecache.getlines(frame.file)
    text = Text()
    for number in range(max(1, frame.line - AROUND), min(len(lines), frame.line + AROUND) + 1):
        is_it = number == frame.line
        text.append(f"{'>' if is_it else ' '} {number:>4} | ", "red" if is_it else "dim")
        text.append(harmless(f"{lines[number - 1].rstrip()}\n"), "bold" if is_it else "")
    return text


def _near(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
