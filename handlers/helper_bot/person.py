"""What the bot remembers of a person in a conversation: the thread, the limit, the last apology."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

MINUTE = 60_000
IDLE = 10 * MINUTE
"""Milliseconds after which a thread that nobody goes on with is over, and an apology forgotten."""


@dataclass(slots=True)
class Person:
    """Times are in milliseconds since the epoch, by the events' clock, so that a repeated attempt agrees.

    `at`: the last answer. `since`, `answers`, `told`: when the minute began, how many answers were given in
    it, and whether the person was told that this is enough. `sorry`: the last answer was an apology.
    """

    at: int = 0
    since: int = 0
    answers: int = 0
    told: bool = False
    sorry: bool = False
    thread: dict[str, Any] | None = None

    def thread_at(self, now: int) -> dict[str, Any] | None:
        """Return the thread that is open at `now`. (A replayed event from long ago isn't part of it.)"""
        return self.thread if abs(now - self.at) <= IDLE else None

    def was_sorry_at(self, now: int) -> bool:
        """Tell whether, at `now`, the person has just been given an apology."""
        return self.sorry and abs(now - self.at) <= IDLE

    def may_be_answered(self, now: int, limit: int) -> bool:
        """Count an answer; tell whether it is within the limit."""
        if abs(now - self.since) >= MINUTE:
            self.since, self.answers, self.told = now, 0, False
        if self.answers >= limit:
            return False
        self.answers += 1
        return True

    def to_json(self) -> dict[str, Any]:
        """Return what `read` takes."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Person:
        """Return a person that was stored, maybe by another version: what it doesn't know is left out."""
        return cls(**{one.name: stored[one.name] for one in fields(cls) if one.name in stored})
