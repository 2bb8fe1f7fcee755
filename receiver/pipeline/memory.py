"""What is kept beside a delivery (effects that happened once), and beyond it (a conversation's state)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from receiver.collect import Collect
from receiver.pipeline import keys
from receiver.pipeline.connection import Client
from receiver.pipeline.deliveries import ONCE

LARGEST_STATE = 64 * 1024
"""Bytes of a state, as JSON."""


class Memory:
    """The memory of one attempt: of the event at `entry`, for `handler`."""

    __slots__ = ("_before", "_client", "_conversation", "_event", "_handler", "_state")

    def __init__(self, client: Client, entry: str, handler: str, conversation: str) -> None:
        self._client = client
        self._event = keys.event(entry)
        self._handler = handler
        self._conversation = conversation
        self._before = b""
        self._state: dict[str, Any] | None = None

    async def happened(self, key: str) -> bool:
        """Tell whether the effect `key` succeeded in an earlier attempt."""
        return bool(await self._client.hexists(self._event, f"{self._handler}{ONCE}{key}"))

    async def record(self, key: str) -> None:
        """Remember that the effect `key` succeeded."""
        await self._client.hset(self._event, f"{self._handler}{ONCE}{key}", "1")

    async def recall(self) -> dict[str, Any]:
        """Return the handler's state of this conversation."""
        stored = await self._client.get(keys.state(self._handler, self._conversation))
        self._before = stored or b""
        self._state = orjson.loads(stored) if stored else {}
        return self._state

    def changed_state(self) -> bytes | None:
        """Return the state as it is to be saved, b"" if nothing is left of it, None if it is as before.

        Raises:
            TypeError: it holds what is no JSON.
            ValueError: it is too large.
        """
        if self._state is None:
            return None
        now = orjson.dumps(self._state) if self._state else b""
        if len(now) > LARGEST_STATE:
            raise ValueError(f"the state is {len(now)} bytes of JSON; {LARGEST_STATE} are the most")
        return None if now == self._before else now

    async def gather(self, collect: Collect, keys: Sequence[str], call: int) -> None:
        """Gather the event under `keys`, unless the `call`-th call of this delivery did."""
        raise NotImplementedError

    async def cancel(
        self, collect: Collect, keys: Sequence[str], conversation: str | None, call: int
    ) -> None:
        """Drop what is gathered under `keys`, unless the `call`-th call of this delivery did."""
        raise NotImplementedError
