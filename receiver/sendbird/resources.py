"""What the Platform API answers, read tolerantly: a missing or odd field becomes its default.

`raw` is the answer as it came, for fields that are not named here. (Platform API v3: User, Group
Channel, Messages, Bot Interface.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from receiver import redaction

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user, or a member of a channel. `last_seen_at` is in milliseconds since the epoch, 0 if unknown.

    `state` is "joined" or "invited", for members only; a flag is None where Sendbird doesn't tell.
    """

    user_id: str
    nickname: str
    profile_url: str
    is_online: bool | None
    is_active: bool | None
    last_seen_at: int
    state: str
    metadata: dict[str, str]
    raw: Raw = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Any) -> User:
        """Read Sendbird's user object."""
        raw = _object(raw)
        return cls(
            user_id=_text(raw, "user_id"),
            nickname=_text(raw, "nickname"),
            profile_url=_text(raw, "profile_url"),
            is_online=_flag(raw, "is_online"),
            is_active=_flag(raw, "is_active"),
            last_seen_at=_number(raw, "last_seen_at"),
            state=_text(raw, "state"),
            metadata={key: str(value) for key, value in _object(raw.get("metadata")).items()},
            raw=raw,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A group channel. `members` is empty unless they were asked for."""

    channel_url: str
    name: str
    cover_url: str
    custom_type: str
    data: str
    member_count: int
    members: tuple[User, ...]
    raw: Raw = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Any) -> Channel:
        """Read Sendbird's channel object."""
        raw = _object(raw)
        return cls(
            channel_url=_text(raw, "channel_url"),
            name=_text(raw, "name"),
            cover_url=_text(raw, "cover_url"),
            custom_type=_text(raw, "custom_type"),
            data=_text(raw, "data"),
            member_count=_number(raw, "member_count"),
            members=tuple(User.read(member) for member in objects(raw, "members")),
            raw=raw,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that was sent. `created_at` is in milliseconds since the epoch.

    `message_id` is 0 where Sendbird refused to send a message again (see `dedup_id`).
    """

    message_id: int
    type: str
    message: str
    data: str
    custom_type: str
    channel_url: str
    created_at: int
    user: User
    raw: Raw = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Any) -> Message:
        """Read Sendbird's message object."""
        raw = _object(raw)
        return cls(
            message_id=_number(raw, "message_id"),
            type=_text(raw, "type"),
            message=_text(raw, "message"),
            data=_text(raw, "data"),
            custom_type=_text(raw, "custom_type"),
            channel_url=_text(raw, "channel_url"),
            created_at=_number(raw, "created_at"),
            user=User.read(raw.get("user")),
            raw=raw,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BotAccount:
    """A bot as Sendbird knows it. `token` proves the origin of callbacks: keep it out of logs."""

    bot_userid: str
    nickname: str
    profile_url: str
    token: str = field(repr=False)
    callback_url: str
    is_privacy_mode: bool | None
    show_member: bool | None
    raw: Raw = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Any) -> BotAccount:
        """Read Sendbird's bot object, which nests the bot's identity under `bot`."""
        raw = _object(raw)
        bot = _object(raw.get("bot"))
        redaction.learn(_text(bot, "bot_token"), looked_up=True)
        return cls(
            bot_userid=_text(bot, "bot_userid"),
            nickname=_text(bot, "bot_nickname"),
            profile_url=_text(bot, "bot_profile_url"),
            token=_text(bot, "bot_token"),
            callback_url=_text(raw, "bot_callback_url"),
            is_privacy_mode=_flag(raw, "is_privacy_mode"),
            show_member=_flag(raw, "show_member"),
            raw=raw,
        )


def objects(raw: Any, key: str) -> list[Raw]:
    """Return the JSON objects in the list `raw[key]`; anything else is left out."""
    values = _object(raw).get(key)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def counts(raw: Any) -> dict[str, int]:
    """Return the whole numbers of a JSON object of counts; anything else is left out."""
    return {key: number for key, value in _object(raw).items() if (number := _whole(value)) is not None}


def _object(value: Any) -> Raw:
    return value if isinstance(value, dict) else {}


def _text(raw: Raw, key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _number(raw: Raw, key: str) -> int:
    return _whole(raw.get(key)) or 0


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _flag(raw: Raw, key: str) -> bool | None:
    value = raw.get(key)
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return bool(value) if isinstance(value, int) else None
