"""The things that events speak of. `read` takes whatever JSON stood there and never raises.

Their reprs name them and say no more: what people wrote, and who they are, stays out of logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from receiver.events.fields import document, first_text, flag, items, mapping, moment, text, whole


@dataclass(frozen=True, slots=True)
class User:
    """A user. `metadata` is the application's own."""

    user_id: str
    nickname: str = field(default="", repr=False)
    profile_url: str = field(default="", repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Return the user, from an object or a bare id, or None where there is no id."""
        data = mapping(value)
        user_id = text(data.get("user_id")) or text(value)
        if not user_id:
            return None
        return cls(
            user_id=user_id,
            nickname=text(data.get("nickname")),
            profile_url=text(data.get("profile_url")),
            metadata=mapping(data.get("metadata")),
        )

    @classmethod
    def read_all(cls, value: object) -> tuple[Self, ...]:
        """Return the users of an array, in its order, without those that have no id."""
        return tuple(user for entry in items(value) if (user := cls.read(entry)) is not None)


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """The bot that a callback is for. Its token is left out on purpose: intake has checked it."""

    userid: str
    nickname: str = field(default="", repr=False)
    profile_url: str = field(default="", repr=False)

    @classmethod
    def read(cls, value: object) -> Self:
        """Return the bot; its userid is "" where none was sent."""
        data = mapping(value)
        return cls(
            userid=text(data.get("bot_userid")),
            nickname=text(data.get("bot_nickname")),
            profile_url=text(data.get("bot_profile_url")),
        )


@dataclass(frozen=True, slots=True)
class Channel:
    """An open or group channel. `data` is a string: where an object was sent, its JSON text.

    `is_frozen` is None where the event does not say.
    """

    channel_url: str
    name: str = field(default="", repr=False)
    cover_url: str = field(default="", repr=False)
    custom_type: str = ""
    data: str = field(default="", repr=False)
    is_distinct: bool = False
    is_public: bool = False
    is_super: bool = False
    is_ephemeral: bool = False
    is_discoverable: bool = False
    is_frozen: bool | None = None

    @classmethod
    def read(cls, value: object) -> Self:
        """Return the channel; its channel_url is "" where none was sent."""
        data = mapping(value)
        return cls(
            channel_url=text(data.get("channel_url")),
            name=text(data.get("name")),
            cover_url=text(data.get("cover_url")),
            custom_type=text(data.get("custom_type")),
            data=document(data.get("data")),
            is_distinct=flag(data.get("is_distinct")),
            is_public=flag(data.get("is_public")),
            is_super=flag(data.get("is_super")),
            is_ephemeral=flag(data.get("is_ephemeral")),
            is_discoverable=flag(data.get("is_discoverable")),
            is_frozen=flag(data["freeze"]) if "freeze" in data else None,
        )


@dataclass(frozen=True, slots=True)
class File:
    """A file of a message. `size` is in bytes, None where it was not sent."""

    url: str = field(repr=False)
    name: str = field(default="", repr=False)
    content_type: str = ""
    size: int | None = None
    data: str = field(default="", repr=False)

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Return the file, from an object or a bare URL, or None where there is no URL."""
        data = mapping(value)
        url = text(data.get("url")) or text(value)
        if not url:
            return None
        size = whole(data.get("content_size"))
        return cls(
            url=url,
            name=first_text((data.get("filename"), data.get("name"))),
            content_type=first_text((data.get("content_type"), data.get("type"))),
            size=size if size is not None else whole(data.get("size")),
            data=document(data.get("data")),
        )


@dataclass(frozen=True, slots=True)
class Reaction:
    """A reaction to a message. `key` names it; `at` is when it was added or deleted."""

    key: str
    message_id: int | None
    user: User | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class ReadUpdate:
    """How far one member has read."""

    user_id: str
    read_at: datetime | None
    channel_unread_message_count: int
    total_unread_message_count: int

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Return the update, or None where it names no user."""
        data = mapping(value)
        user_id = text(data.get("user_id"))
        if not user_id:
            return None
        return cls(
            user_id=user_id,
            read_at=moment(data.get("read_ts")),
            channel_unread_message_count=whole(data.get("channel_unread_message_count")) or 0,
            total_unread_message_count=whole(data.get("total_unread_message_count")) or 0,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One property that was changed, with its old and new value as they were sent."""

    key: str
    old: Any = field(default=None, repr=False, hash=False)
    new: Any = field(default=None, repr=False, hash=False)

    @classmethod
    def read_all(cls, value: object) -> tuple[Self, ...]:
        """Return the changes of an array, in its order, without those that name no property."""
        changes = (mapping(entry) for entry in items(value))
        return tuple(
            cls(key=key, old=change.get("old"), new=change.get("new"))
            for change in changes
            if (key := text(change.get("key")))
        )
