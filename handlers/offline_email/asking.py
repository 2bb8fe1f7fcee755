"""What Sendbird is asked before a mail goes out: what is unread, what still stands, who is a bot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from receiver import MessageSent, SendbirdRefused

PAGE = 200
"""Messages that Sendbird lists at once, at most."""
LATEST = 100
"""Messages of one channel that are looked at. Others of the same channel may lie between them."""
BOTS_KNOWN_FOR = 600.0
"""Seconds."""


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
    """
    found = {}
    for channel_url in channel_urls:
        try:
            counts = await sendbird.unread_counts(channel_url, [user_id])
        except SendbirdRefused:
            continue
        found[channel_url] = max(0, counts.get(user_id, 0))
    return found


async def as_they_are(sendbird: Sendbird, messages: Sequence[MessageSent]) -> dict[int, str | None]:
    """Return the texts of the latest of `messages`, all of one channel, as they are now; None where one was
    deleted. A message of which nothing is known is left out.

    Nothing is known without ids (2016), and where Sendbird refuses to list messages.

    Raises:
        SendbirdUnavailable: nobody can tell now.
    """
    known = {
        message.message_id: message.occurred_at
        for message in messages[-LATEST:]
        if message.message_id is not None and message.occurred_at is not None
    }
    if not known:
        return {}
    path = f"/group_channels/{quote(messages[0].conversation, safe='')}/messages"
    params: dict[str, str | int] = {
        "message_ts": _milliseconds(min(known.values())),
        "prev_limit": 0,
        "next_limit": PAGE,
        "include": "true",
    }
    try:
        answer = await sendbird.call("GET", path, params=params)
    except SendbirdRefused:
        return {}
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
        if message_id not in now and (until is None or _milliseconds(at) < until):
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
    except SendbirdRefused:
        return {}


async def members(sendbird: Sendbird, channel_url: str, most: int) -> tuple[list[Mapping[str, Any]], bool]:
    """Return at most `most` of a channel's members, as JSON, and whether there are more."""
    found: list[Mapping[str, Any]] = []
    async for member in sendbird.list_members(channel_url):
        if len(found) == most:
            return found, True
        found.append(member.raw)
    return found, False


class Bots:
    """Knows which users are bots: the API's list, kept for some minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self._until = -1.0

    async def knows(self, user_id: str, sendbird: Sendbird) -> bool:
        """Tell whether the user is a bot. Where the token may not list bots, nobody is one.

        Raises:
            SendbirdUnavailable: nobody can tell now.
        """
        if self._clock() >= self._until:
            try:
                self._known = frozenset([bot.bot_userid async for bot in sendbird.list_bots()])
            except SendbirdRefused:
                self._known = frozenset()
            self._until = self._clock() + BOTS_KNOWN_FOR
        return user_id in self._known
