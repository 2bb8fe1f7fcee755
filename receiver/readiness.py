"""Whether a process can store, asked once for all who want to know."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from receiver.errors import NotStored
from receiver.pipeline.inbox import Inbox
from receiver.pipeline.storage import Storage

FRESH = 0.1
"""Seconds for which an answer is good. Anybody may ask, as often as he likes."""


class Readiness:
    """Looks at the inbox by a connection that isn't the storage's: whoever asks takes none from events."""

    def __init__(self, inbox: Inbox, storage: Storage) -> None:
        self._inbox = inbox
        self._storage = storage
        self._look: asyncio.Task[tuple[bool, dict[str, Any]]] | None = None
        self._looked = 0.0

    async def ask(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether events can be stored, in the inbox or else in the spool; and how each of them does."""
        look = self._look
        if look is None or (look.done() and time.monotonic() - self._looked > FRESH):
            look = self._look = asyncio.create_task(self._ask())
        return await asyncio.shield(look)

    async def _ask(self) -> tuple[bool, dict[str, Any]]:
        told: dict[str, Any] = {"inbox": "ok"}
        try:
            told["spooled"], _ = await self._storage.spooled()
        except NotStored as error:
            told["spool"] = str(error)
        try:
            await self._inbox.ready()
        except NotStored as error:
            told["inbox"] = str(error)
        needs_spool = told["inbox"] != "ok" or self._storage.spooling
        ready = not needs_spool or await self._storage.can_spool()
        self._looked = time.monotonic()
        return ready, told
