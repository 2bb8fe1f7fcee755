"""What is kept beside a delivery (effects that happened once), and beyond it (a conversation's state)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import redis

from receiver.collect import Collect
from receiver.errors import Fenced, PluginError, ReceiverError
from receiver.pipeline import gathering, keys
from receiver.pipeline.connection import Client
from receiver.pipeline.deliveries import CALL, ONCE

LARGEST_STATE = 64 * 1024
"""Bytes of a state, as JSON."""


class Memory:
    """The memory of one attempt: of the event at `entry`, for `handler`.

    `blocking` is the client for RQ, which has no asynchronous one.
    """

    __slots__ = (
        "_before",
        "_blocking",
        "_client",
        "_conversation",
        "_entry",
        "_event",
        "_handler",
        "_is_batch",
        "_is_closed",
        "_is_ordered",
        "_state",
        "_unsaved",
    )

    def __init__(
        self,
        client: Client,
        blocking: redis.Redis,
        *,
        entry: str,
        handler: str,
        conversation: str,
        is_batch: bool = False,
        is_ordered: bool = True,
        unsaved: bytes | None = None,
    ) -> None:
        self._client = client
        self._blocking = blocking
        self._entry = entry
        self._event = keys.event(entry)
        self._handler = handler
        self._is_batch = is_batch
        self._is_ordered = is_ordered
        self._conversation = conversation
        self._unsaved = unsaved
        self._is_closed = False
        self._before = b""
        self._state: dict[str, Any] | None = None

    def close(self) -> None:
        """Refuse everything from now on but `record`: what has happened is remembered all the same."""
        self._is_closed = True

    async def happened(self, key: str) -> bool:
        """Tell whether the effect `key` succeeded in an earlier attempt."""
        self._check()
        return bool(await self._client.hexists(self._event, f"{self._handler}{ONCE}{key}"))

    async def record(self, key: str) -> None:
        """Remember that the effect `key` succeeded."""
        await self._client.hset(self._event, f"{self._handler}{ONCE}{key}", "1")

    async def recall(self) -> dict[str, Any]:
        """Return the handler's state of this conversation.

        Raises:
            PluginError: attempts of one conversation may run at once, so none could keep a state.
        """
        self._check()
        if not self._is_ordered:
            raise PluginError(
                f"{self._handler} has order=None: several events of a conversation may run at once, and "
                'would overwrite what another one has remembered. Use order="conversation" with state().'
            )
        stored = self._unsaved
        if stored is None:
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
        """Gather the event under `keys`, unless the `call`-th call of this delivery did.

        Raises:
            ReceiverError: the event is a batch itself; a Fenced where the attempt is over.
        """
        self._check()
        if self._is_batch:
            raise ReceiverError("a batch can't be gathered: gather its events, where they are handled")
        guard = f"{self._handler}{CALL}{call}"
        await gathering.gather(self._client, self._blocking, collect, keys, entry=self._entry, guard=guard)

    async def cancel(
        self, collect: Collect, keys: Sequence[str], conversation: str | None, call: int
    ) -> None:
        """Drop what is gathered under `keys`, unless the `call`-th call of this delivery did."""
        self._check()
        guard = f"{self._handler}{CALL}{call}"
        await gathering.cancel(self._client, collect, keys, conversation, entry=self._entry, guard=guard)

    def _check(self) -> None:
        if self._is_closed:
            raise Fenced("this attempt is over: what it still does doesn't count")
