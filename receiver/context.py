"""What a handler is given beside its event."""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import structlog

from receiver.collect import Collect
from receiver.effects import Effects, First, remember
from receiver.errors import Fenced, Retry
from receiver.seldom import Seldom

if TYPE_CHECKING:
    from receiver.events import Event
    from receiver.mail.mailer import Mailer
    from receiver.sendbird.platform import Platform


_seldom = Seldom()


class Memory(Effects, Protocol):
    """What is kept beside a delivery, and beyond it."""

    async def recall(self) -> dict[str, Any]:
        """Return the handler's state of this conversation, which is saved with the attempt's success."""
        ...

    async def gather(self, collect: Collect, keys: Sequence[str], call: int) -> None:
        """Gather the event under `keys`, unless the `call`-th call of this delivery did."""
        ...

    async def cancel(
        self, collect: Collect, keys: Sequence[str], conversation: str | None, call: int
    ) -> None:
        """Drop what is gathered under `keys`, unless the `call`-th call of this delivery did."""
        ...


class BotReplies:
    """Lets a bot handler answer in the channel the message came from."""

    __slots__ = ("_channel_url", "_delivery", "_is_closed", "_platform", "_replies", "userid")

    def __init__(self, platform: Platform, userid: str, channel_url: str, delivery: str) -> None:
        self.userid = userid
        self._platform = platform
        self._channel_url = channel_url
        self._delivery = delivery
        self._replies = 0
        self._is_closed = False

    def close(self) -> None:
        """Refuse replies from now on: the attempt is over, and another one may be running."""
        self._is_closed = True

    async def reply(self, message: str, **options: Any) -> None:
        """Send `message` as the bot.

        `options` are those of `Platform.send_bot_message`. The n-th reply of a delivery has the same
        `dedup_id` in every attempt, so a repeated attempt can't post it twice.

        Raises:
            SendbirdError: the message could not be sent.
            Fenced: the attempt is over.
        """
        if self._is_closed:
            raise Fenced("this attempt is over: it can't reply any more")
        self._replies += 1
        name = f"{self._delivery}:{self._replies}".encode()
        dedup_id = hashlib.blake2b(name, digest_size=16).hexdigest()
        await self._platform.send_bot_message(
            self.userid, self._channel_url, message, dedup_id=dedup_id, **options
        )


class Context:
    """The surroundings of one attempt.

    `attempt` counts from 1; `handler` is the handler's name; `sendbird` is the Platform API client;
    `mailer` sends mails; `bot` lets bot handlers reply and is None elsewhere.
    """

    __slots__ = (
        "_calls",
        "_log",
        "_memory",
        "_state",
        "attempt",
        "bot",
        "event",
        "handler",
        "mailer",
        "sendbird",
    )

    def __init__(
        self,
        event: Event,
        *,
        handler: str,
        attempt: int,
        sendbird: Platform,
        mailer: Mailer,
        memory: Memory,
        bot: BotReplies | None = None,
    ) -> None:
        self.event = event
        self.handler = handler
        self.attempt = attempt
        self.sendbird = sendbird
        self.mailer = mailer
        self.bot = bot
        self._memory = memory
        self._state: dict[str, Any] | None = None
        self._calls = 0
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
    async def once(self, key: str) -> AsyncIterator[First]:
        """Guard a side effect: `async with context.once("mail") as first: if first: ...`.

        Gives what is true until the block has ended without an error in some attempt of this delivery, and
        false from then on. A crash between the effect and the end of the block repeats it. The block itself
        runs in every attempt: Python can't skip it.
        """
        if key.startswith("\x00"):
            raise ValueError("once() takes no key that begins with a NUL: such keys are the mailer's")
        happened = await self._memory.happened(key)
        first = First(not happened)
        yield first
        if not first.asked and _seldom(self.handler):
            self.log.warning(
                "a block under once() runs in every attempt: ask `as first`, `if first:`", key=key
            )
        if not happened:
            await remember(self._memory, key)

    async def state(self) -> dict[str, Any]:
        """Return what this handler remembers of this conversation: a dict, to be changed in place.

        It is saved together with the outcome of an attempt that succeeds; one that fails, or is cut off,
        changes nothing. It holds JSON values, at most 64 KiB of them, and is forgotten 30 days after its
        last change.

        Raises:
            PluginError: the handler has order=None.
        """
        if self._state is None:
            self._state = await self._memory.recall()
        return self._state

    async def gather(self, collect: Collect, *keys: str) -> None:
        """Gather this event under each of `keys`, for the function that `@handlers.collect` decorates.

        The n-th call counts once in all attempts of a delivery, with the keys it had the first time: a
        repeated attempt gathers nothing twice.

        Raises:
            ValueError: a key is empty.
        """
        await self._memory.gather(collect, _checked(keys), self._next_call())

    async def cancel(self, collect: Collect, *keys: str, conversation: str | None = None) -> None:
        """Drop events that were gathered under `keys` and accepted before this one.

        With `conversation`, only its events are dropped. Without, a closed batch that waits for an
        attempt is dropped, too. Counts once, like `gather`.

        Raises:
            ValueError: a key is empty.
        """
        await self._memory.cancel(collect, _checked(keys), conversation, self._next_call())

    def _next_call(self) -> int:
        self._calls += 1
        return self._calls

    def retry_after(self, seconds: float) -> NoReturn:
        """End this attempt and have another one after `seconds`.

        Raises:
            Retry: always, except for
            ValueError: seconds that can't be waited.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"retry_after({seconds}): expected seconds, at least 0")
        raise Retry(seconds)


def _checked(keys: tuple[str, ...]) -> tuple[str, ...]:
    if not all(isinstance(key, str) and key for key in keys):
        raise ValueError(f"gather and cancel take keys that are texts and not empty, got {keys!r}")
    return tuple(dict.fromkeys(keys))
