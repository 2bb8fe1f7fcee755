"""An event as it is stored."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Source = Literal["webhook", "bot", "desk", "batch"]
"""Where it came from: three kinds of requests, or a collect that has closed a batch."""
BATCH: Final = "batch"
"""The source of batches: their conversation is the key."""


class Envelope(NamedTuple):
    """An accepted request: the raw body, and the little that the road needs to know of it.

    `received` is the time of receipt, in milliseconds since the epoch. `identity` names the thing
    that happened (a repeat has the same one); it is empty where the body carries none. `replay_of` is
    the id of the event that this one replays.

    (A tuple, since one is made for every request: a frozen dataclass takes three times as long.)
    """

    id: str
    source: Source
    category: str
    conversation: str
    identity: str
    received: int
    body: bytes
    replay_of: str | None = None

    def __repr__(self) -> str:  # chat text stays out of logs
        return f"Envelope(id={self.id!r}, source={self.source!r}, category={self.category!r})"
