"""What a handler is given beside its event."""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import structlog

from receiver.errors import Retry

if TYPE_CHECKING:
    from receiver.events import Event
    from receiver.sendbird.platform import Platform


class Effects(Protocol):
    """Remembers which side effects of a delivery have succeeded."""

    async def happened(self, key: str) -> bool:
        """Tell whether the effect `key` succeeded in an earlier attempt."""
        ...

    async def record(self, key: str) -> None:
        """Remember that the effect `key` succeeded."""
        ...


class BotReplies:
    """Lets a bot handler answer in the channel the message came from."""

    __slots__ = ("_channel_url", "_delivery", "_platform", "_replies", "userid")

    def __init__(self, platform: Platform, userid: str, channel_url: str, delivery: str) -> None:
        self.userid = userid
        self._platform = platform
        self._channel_url = channel_url
        self._delivery = delivery
        self._replies = 0

    async def reply(self, message: str, **options: Any) -> None:
        """Send `message` as the bot.

        `options` are those of `Platform.send_bot_message`. The n-th reply of a delivery has the same
        `dedup_id` in every attempt, so a repeated attempt can't post it twice.

        Raises:
            SendbirdError: the message could not be sent.
        """
        self._replies += 1
        name = f"{self._delivery}:{self._replies}".encode()
        dedup_id = hashlib.blake2b(name, digest_size=16).hexdigest()
        await self._platform.send_bot_message(
            self.userid, self._channel_url, message, dedup_id=dedup_id, **options
        )


class Context:
    """The surroundings of one attempt.

    `attempt` counts from 1; `handler` is the handler's name; `sendbird` is the Platform API client;
    `bot` lets bot handlers reply and is None elsewhere.
    """

    __slots__ = ("_effects", "_log", "attempt", "bot", "event", "handler", "sendbird")

    def __init__(
        self,
        event: Event,
        *,
        handler: str,
        attempt: int,
        sendbird: Platform,
        effects: Effects,
        bot: BotReplies | None = None,
    ) -> None:
        self.event = event
        self.handler = handler
        self.attempt = attempt
        self.sendbird = sendbird
        self.bot = bot
        self._effects = effects
        self._log: Any = None

    @property
    def log(self) -> Any:
        """A structlog logger that carries the event's id, its category, the handler and the attempt."""
        if self._log is None:
            self._log = structlog.get_logger("receiver.handler").bind(
                handler=self.handler, id=self.event.id, category=self.event.category, attempt=self.attempt
            )
        return self._log

    @asynccontextmanager
    async def once(self, key: str) -> AsyncIterator[bool]:
        """Guard a side effect: `async with context.once("mail") as first: if first: ...`.

        Gives True until the block has ended without an error in some attempt of this delivery, and
        False from then on. A crash between the effect and the end of the block repeats it.
        """
        first = not await self._effects.happened(key)
        yield first
        if first:
            await self._effects.record(key)

    def retry_after(self, seconds: float) -> NoReturn:
        """End this attempt and have another one after `seconds`.

        Raises:
            Retry: always, except for
            ValueError: seconds that can't be waited.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"retry_after({seconds}): expected seconds, at least 0")
        raise Retry(seconds)
