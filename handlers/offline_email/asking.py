"""What Sendbird is asked before a mail goes out: what is unread, what still stands, who is a bot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from handlers.offline_email.said import Said
from receiver import SendbirdRefused

PAGE = 200
"""Messages that Sendbird lists at once, at most."""
SLACK = 1000
"""Milliseconds that are listed before the first message asked about."""
LATEST = 100
"""Messages of one channel that are looked at. Others of the same channel may lie between them."""
BOTS_KNOWN_FOR = 600.0
"""Seconds."""
AT_ONCE = 8
"""Calls of one digest that are under way at once."""
NOT_FOUND = 400201
NOT_ALLOWED = 400108
"""Sendbird's codes for what is gone, and for a user who may not do that with a channel, being no member."""


def is_gone(error: SendbirdRefused) -> bool:
    """Tell whether Sendbird refused because there is no such thing. A wrong token is something else."""
    return error.code == NOT_FOUND


class Sendbird(Protocol):
    """What is used of `context.sendbird`."""

    async def unread_counts(self, channel_url: str, user_ids: Iterable[str]) -> dict[str, int]:
        """Return how many messages of a channel each user has not read."""
        ...

    async def get_metadata(self, user_id: str) -> dict[str, str]:
        """Return a user's metadata."""
        ...

    async def call(self, method: str, path: str, *, params: Mapping[str, str | int] | None = None) -> Any:
        """Make any call."""
        ...

    def list_bots(self) -> Any:
        """Iterate over all bots."""
        ...

    def list_members(self, channel_url: str) -> Any:
        """Iterate over a channel's members."""
        ...


async def unread(sendbird: Sendbird, user_id: str, channel_urls: Iterable[str]) -> dict[str, int]:
    """Return how many messages the user has not read, by channel.

    A channel that is gone, or that the user has left, is left out.

    Raises:
        SendbirdUnavailable: nobody can tell now.
        SendbirdRefused: for another reason, such as a wrong token.
    """
    found: dict[str, int] = {}
    urls = list(channel_urls)
    for start in range(0, len(urls), AT_ONCE):
        some = urls[start : start + AT_ONCE]
        # All have ended before the first error is raised: none goes on when its digest has failed.
        counts = await asyncio.gather(
            *(_unread_in(sendbird, user_id, one) for one in some), return_exceptions=True
        )
        for channel_url, count in zip(some, counts, strict=True):
            if isinstance(count, BaseException):
                raise count
            if count is not None:
                found[channel_url] = count
    return found


async def _unread_in(sendbird: Sendbird, user_id: str, channel_url: str) -> int | None:
    try:
        counts = await sendbird.unread_counts(channel_url, [user_id])
    except SendbirdRefused as error:
        if is_gone(error) or (error.code == NOT_ALLOWED and error.status == 400):
            return None
        raise
    return max(0, counts.get(user_id, 0))


async def as_they_are(sendbird: Sendbird, messages: Sequence[Said]) -> dict[int, str | None]:
    """Return the texts of the latest of `messages`, all of one channel, as they are now; None where one was
    deleted. A message of which nothing is known is left out.

    Nothing is known without ids (2016), and of a channel that is gone. A reply in a thread that isn't listed
    isn't taken for deleted.

    Raises:
        SendbirdUnavailable: nobody can tell now.
        SendbirdRefused: for another reason, such as a wrong token.
    """
    latest = messages[-LATEST:]
    known = {
        message.message_id: at
        for message in latest
        if message.message_id is not None and (at := message.sent_at) is not None
    }
    replies = {message.message_id for message in latest if message.parent_message_id is not None}
    if not known:
        return {}
    path = f"/group_channels/{quote(messages[0].conversation, safe='')}/messages"
    params: dict[str, str | int] = {
        "message_ts": _milliseconds(min(known.values())) - SLACK,
        "prev_limit": 0,
        "next_limit": PAGE,
        "include": "true",
        "include_reply_type": "ALL",
    }
    try:
        answer = await sendbird.call("GET", path, params=params)
    except SendbirdRefused as error:
        if is_gone(error):
            return {}
        raise
    listed = answer.get("messages")
    if not isinstance(listed, list):
        return {}
    now = {int(raw["message_id"]): raw for raw in listed if isinstance(raw, dict) and _has_id(raw)}
    texts: dict[int, str | None] = {
        message_id: text
        for message_id in known
        if isinstance(text := now.get(message_id, {}).get("message"), str)
    }
    times = [raw["created_at"] for raw in now.values() if isinstance(raw.get("created_at"), int)]
    # A full page says nothing about what comes after its last message.
    until = max(times, default=0) if len(listed) >= PAGE else None
    for message_id, at in known.items():
        if (
            message_id not in now
            and message_id not in replies
            and (until is None or _milliseconds(at) < until)
        ):
            texts[message_id] = None
    return texts


def _has_id(raw: Mapping[str, Any]) -> bool:
    return str(raw.get("message_id", "")).isdigit()


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


async def metadata(sendbird: Sendbird, user_id: str) -> Mapping[str, Any]:
    """Return a user's metadata; nothing where Sendbird doesn't know the user.

    Raises:
        SendbirdUnavailable: nobody can tell now.
    """
    try:
        return await sendbird.get_metadata(user_id)
    except SendbirdRefused as error:
        if is_gone(error):
            return {}
        raise


async def members(sendbird: Sendbird, channel_url: str, most: int) -> tuple[list[Mapping[str, Any]], bool]:
    """Return at most `most` of a channel's members, as JSON, and whether there are more.

    A channel that is gone has none.
    """
    found: list[Mapping[str, Any]] = []
    try:
        async for member in sendbird.list_members(channel_url):
            if len(found) == most:
                return found, True
            found.append(member.raw)
    except SendbirdRefused as error:
        if not is_gone(error):
            raise
        return [], False
    return found, False


class Bots:
    """Knows which users are bots: the API's list, kept for some minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self._until = -1.0
        self._asking = asyncio.Lock()

    async def knows(self, user_id: str, sendbird: Sendbird) -> bool:
        """Tell whether the user is a bot.

        Raises:
            SendbirdUnavailable: nobody can tell now.
            SendbirdRefused: such as for a wrong token.
        """
        async with self._asking:
            if self._clock() >= self._until:
                try:
                    self._known = frozenset([bot.bot_userid async for bot in sendbird.list_bots()])
                except SendbirdRefused as error:
                    if not is_gone(error):
                        raise
                    self._known = frozenset()
                self._until = self._clock() + BOTS_KNOWN_FOR
        return user_id in self._known
