"""Dead letters: deliveries whose attempts are spent. They keep a copy of their event until somebody acts.

A letter that is retried stays, as a *revived* one, until its delivery has ended: its event may have left
the inbox. Housekeeping then drops it (`bury.lua`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from receiver.events.envelope import Envelope
from receiver.pipeline import deliveries, jobs, keys
from receiver.pipeline.connection import Client, Script
from receiver.pipeline.deliveries import Delivery
from receiver.pipeline.inbox import open_letter
from receiver.pipeline.routes import lane_of
from receiver.plugins import covers

PAGE = 200
"""Letters that are read, or acted on, at once."""
_REVIVE = Script("revive")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that one handler could not be given. `died` is in milliseconds since the epoch."""

    entry: str
    handler: str
    died: float
    envelope: Envelope
    delivery: Delivery

    @property
    def error(self) -> str:
        """What the last attempt said."""
        return (self.delivery.attempts[-1].error or "") if self.delivery.attempts else ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are meant; what is None or empty lets all pass. Times are in milliseconds."""

    ids: frozenset[str] = frozenset()
    handler: str | None = None
    category: str | None = None
    error: str | None = None
    since: float = 0.0
    until: float = float("inf")

    def matches(self, letter: DeadLetter) -> bool:
        """Tell whether this one is meant."""
        return (
            (not self.ids or letter.envelope.id in self.ids)
            and (self.category is None or covers(self.category, letter.envelope.category))
            and (self.error is None or self.error.casefold() in letter.error.casefold())
        )


async def find(client: Client, wanted: Wanted) -> AsyncIterator[DeadLetter]:
    """Give the dead letters that are wanted, the oldest first."""
    seen: set[tuple[str, str]] = set()
    low: Any = wanted.since
    while True:
        found = await client.zrangebyscore(
            keys.DEAD, low, wanted.until, start=0, num=PAGE + len(seen), withscores=True
        )
        page = [(*name.decode().split(" ", 1), died) for name, died in found]
        page = [one for one in page if (one[0], one[1]) not in seen]
        if not page:
            return
        for letter in await _read(client, [one for one in page if wanted.handler in (None, one[1])]):
            if wanted.matches(letter):
                yield letter
        before, low = low, page[-1][2]
        seen = (seen if low == before else set()) | {one[:2] for one in page if one[2] == low}


async def count(client: Client) -> int:
    """Return how many dead letters there are."""
    return int(await client.zcard(keys.DEAD))


async def retry(client: Client, blocking: redis.Redis, letters: Sequence[DeadLetter]) -> int:
    """Have the deliveries tried again, behind what waits in their conversations; return how many are.

    They have all their attempts again, and keep their history. Effects that happened once stay so. A letter
    that has died again since it was found is another one, and stays.
    """
    number, woken = await _revive(client, "retry", letters)
    if woken:
        await asyncio.to_thread(jobs.wake, blocking, woken)
    return number


async def discard(client: Client, letters: Sequence[DeadLetter]) -> int:
    """Drop the letters, and their events unless others need them; return how many there were.

    A letter that has died again since it was found is another one, and stays.
    """
    number, _ = await _revive(client, "discard", letters)
    return number


async def _revive(client: Client, what: str, letters: Iterable[DeadLetter]) -> tuple[int, list[str]]:
    arguments: list[Any] = [keys.PREFIX, what]
    for one in letters:
        arguments += (one.entry, one.handler, lane_of(one.handler, one.envelope.conversation), one.died)
    number, woken = await _REVIVE.run(client, [keys.DEAD, keys.REVIVED, keys.LANES, keys.INBOX], arguments)
    return int(number), [lane.decode() for lane in woken]


async def _read(client: Client, page: Sequence[tuple[str, str, float]]) -> list[DeadLetter]:
    pipeline = client.pipeline(transaction=False)
    for entry, _, _ in page:
        pipeline.hmget(keys.letter(entry), *keys.LETTER)
        pipeline.hgetall(keys.event(entry))
    answers = await pipeline.execute() if page else []
    letters = []
    for (entry, handler, died), values, stored in zip(page, answers[::2], answers[1::2], strict=True):
        history = {one.handler: one for one in deliveries.read(stored).deliveries}
        delivery = history.get(handler, Delivery(handler, "dead", ()))
        letters.append(
            DeadLetter(entry, handler, died, open_letter(values, client.keyring) or _lost(entry), delivery)
        )
    return letters


def _lost(entry: str) -> Envelope:
    """Return what stands for an event that had left the inbox, or couldn't be read, when it died."""
    return Envelope(entry, "webhook", "", entry, "", int(entry.partition("-")[0]), b"")
