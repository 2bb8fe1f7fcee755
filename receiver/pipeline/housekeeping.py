"""Housekeeping: finished events leave Redis after the retention time.

The inbox is trimmed from its old end, never past an event that a lane still holds or that isn't
dispatched yet. Dead letters have a copy of their own, and keep their history.
"""

from __future__ import annotations

import time

import structlog

from receiver.pipeline import keys
from receiver.pipeline.connection import Client, Script

EVERY = 30.0
PAGE = 1000

_log = structlog.get_logger("receiver.housekeeping")


def _order(entry: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry.partition(b"-")
    return int(milliseconds), int(number)


class Housekeeper:
    """Trims the inbox now and then. `retention` is in seconds."""

    _oldest = Script("oldest")

    def __init__(self, client: Client, retention: float) -> None:
        self._client = client
        self._retention = retention
        self._next = 0.0

    async def run_if_due(self) -> None:
        """Trim, unless it was done a moment ago."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            await self.trim()

    async def trim(self) -> int:
        """Drop what is finished and older than the retention time; return how many events went."""
        limit = (round((time.time() - self._retention) * 1000), 0)
        cursor = await self._client.get(keys.CURSOR)
        oldest = await self._oldest.run(self._client, [keys.LANES], [keys.PREFIX])
        limit = min(limit, *(_order(entry) for entry in (cursor or b"0-0", oldest) if entry))
        if limit <= (0, 0):
            return 0
        dropped = 0
        while found := await self._client.xrange(keys.INBOX, max=f"({limit[0]}-{limit[1]}", count=PAGE):
            entries = [entry.decode() for entry, _ in found]
            letters = await self._letters(entries)
            pipeline = self._client.pipeline(transaction=False)
            for entry in entries:
                if entry not in letters:
                    pipeline.unlink(keys.event(entry))
            pipeline.xdel(keys.INBOX, *entries)
            await pipeline.execute()
            dropped += len(entries)
        if dropped:
            _log.info("events past their retention were dropped", events=dropped)
        return dropped

    async def _letters(self, entries: list[str]) -> set[str]:
        """Return those of `entries` that are dead letters."""
        pipeline = self._client.pipeline(transaction=False)
        for entry in entries:
            pipeline.exists(keys.letter(entry))
        return {entry for entry, kept in zip(entries, await pipeline.execute(), strict=True) if kept}
