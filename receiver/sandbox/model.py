"""What a Sendbird application holds. Times are milliseconds since the epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Kind = Literal["group", "open"]
MessageType = Literal["MESG", "FILE", "ADMM"]


@dataclass(slots=True)
class User:
    """A person, or (with `is_bot`) the face of a bot."""

    user_id: str
    nickname: str
    profile_url: str = ""
    is_bot: bool = False
    is_active: bool = True
    is_online: bool = False
    last_seen_at: int = 0
    created_at: int = 0
    access_token: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Bot:
    """What a bot has beyond a user: where its callbacks go, and when."""

    bot_userid: str
    bot_token: str
    bot_callback_url: str
    is_privacy_mode: bool
    show_member: bool = False
    enable_mark_as_read: bool = True


@dataclass(slots=True)
class Member:
    """A user's place in a channel. `read_at` and `joined_at` decide what counts as unread."""

    user_id: str
    joined_at: int
    read_at: int
    unread: int = 0
    mentions: int = 0


@dataclass(slots=True)
class Channel:
    """A group channel with its members, or an open channel with its participants."""

    channel_url: str
    kind: Kind
    name: str
    created_at: int
    cover_url: str = ""
    data: str = ""
    custom_type: str = ""
    is_distinct: bool = False
    operators: list[str] = field(default_factory=list)
    members: dict[str, Member] = field(default_factory=dict)

    @property
    def category(self) -> str:
        """The first half of the channel's webhook categories."""
        return f"{self.kind}_channel"

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `asdict` wrote."""
        members = {key: Member(**value) for key, value in document.pop("members").items()}
        return cls(**document, members=members)


@dataclass(slots=True)
class File:
    """A file message's file. `size` is in bytes, `type` a media type."""

    name: str
    url: str
    type: str
    size: int


@dataclass(slots=True)
class Message:
    """A message of any type; `sender_id` is None for admin messages, `file` set for FILE."""

    message_id: int
    channel_url: str
    type: MessageType
    sender_id: str | None
    created_at: int
    message: str = ""
    data: str = ""
    custom_type: str = ""
    updated_at: int = 0
    file: File | None = None
    mention_type: str = "users"
    mentioned: list[str] = field(default_factory=list)
    silent: bool = False
    dedup_id: str = ""

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `asdict` wrote."""
        file = document.pop("file")
        return cls(**document, file=File(**file) if file else None)


Thing = User | Bot | Channel | Message


def identity(thing: Thing) -> tuple[str, str]:
    """Return the kind and the id under which `thing` is stored."""
    match thing:
        case User():
            return "user", thing.user_id
        case Bot():
            return "bot", thing.bot_userid
        case Channel():
            return "channel", thing.channel_url
        case Message():
            return "message", str(thing.message_id)


def to_json(thing: Thing) -> dict[str, Any]:
    """Return `thing` as it is stored."""
    return asdict(thing)
