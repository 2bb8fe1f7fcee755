"""Housekeeping: finished events leave Redis after the retention time.

The inbox is trimmed from its old end, never past an event that a lane still holds or that isn't
dispatched yet. Dead letters have a copy of their own, and keep their history.
"""

from __future__ import annotations

import structlog

from receiver.pipeline import keys
from receiver.pipeline.connection import Client, Script

EVERY = 30.0
PAGE = 100

_log = structlog.get_logger("receiver.housekeeping")


class Housekeeper:
    """Trims the inbox. `retention` is in seconds."""

    _trim = Script("trim")

    def __init__(self, client: Client, retention: float) -> None:
        self._client = client
        self._retention = round(retention * 1000)

    async def trim(self) -> int:
        """Drop what is finished and older than the retention time; return how many events went."""
        dropped = 0
        while count := await self._trim.run(
            self._client, [keys.INBOX, keys.CURSOR, keys.LANES], [keys.PREFIX, self._retention, PAGE]
        ):
            dropped += count
        if dropped:
            _log.info("events past their retention were dropped", events=dropped)
        return dropped
