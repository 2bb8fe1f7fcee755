"""One run of a handler: how its function is called, and how it is parted with when its attempt is over."""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest
from typing import Any

from receiver.context import Context
from receiver.events import Batch, Event
from receiver.events.masked import written_in
from receiver.pipeline.memory import Memory
from receiver.redaction import all_forms

MOST_TEXTS = 1000
"""Texts of an event, or of a batch's events, that are kept out of errors and logs: the longest ones."""


class StillRuns(Exception):
    """A handler has swallowed its cancellation, and goes on."""


class Run:
    """One attempt's run: the function as it is called, what it is given, and what came of it."""

    __slots__ = (
        "_call",
        "_ended",
        "_told",
        "_written",
        "context",
        "event",
        "function",
        "is_in_thread",
        "memory",
        "skipped",
        "state",
    )

    def __init__(self, function: Callable[..., Any], is_async: bool) -> None:
        self.function = function if is_async else self._run_in_thread
        self.memory: Memory | None = None
        self.context: Context | None = None
        self.event: Event | None = None
        self.skipped = False
        self.state: bytes | None = None
        self.is_in_thread = False
        self._call = function
        self._ended = False
        self._told: Callable[[], Any] | None = None
        self._written: list[str] | None = None

    def written(self) -> list[str]:
        """Return the forms of what people wrote in the event, or in a batch's events: no error or log line
        repeats it.
        """
        if self._written is None:
            event = self.event
            events = event.events if isinstance(event, Batch) else (event,) if event is not None else ()
            texts = {text for one in events for text in written_in(one.raw)}
            self._written = all_forms(nlargest(MOST_TEXTS, texts, key=len))
        return self._written

    def close(self) -> None:
        """Refuse what the handler still asks of its context: another attempt may be running."""
        if self.memory is not None:
            self.memory.close()
        if self.context is not None and self.context.bot is not None:
            self.context.bot.close()

    def when_ended(self, tell: Callable[[], Any]) -> None:
        """Have `tell` called, in any thread, when the function's thread has ended."""
        self._told = tell
        if self._ended:
            tell()

    def _run_in_thread(self, *arguments: Any) -> Any:
        self.is_in_thread = True
        try:
            return self._call(*arguments)
        except StopIteration as error:  # a future can't hold it, and would never be done
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        finally:
            self.is_in_thread = False
            self._ended = True
            if self._told is not None:
                self._told()
