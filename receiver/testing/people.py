"""Users, members and channels as Sendbird writes them, from what a test says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from receiver.events import Change, Channel, File, Member, ReadUpdate, User

UserLike = str | User | Mapping[str, Any]
"""A user: an id, a `User`, or the object that Sendbird would send."""
ChannelLike = str | Channel | Mapping[str, Any]
"""A channel, likewise: its URL, a `Channel`, or an object."""

_MEMBER = {
    "profile_url": "",
    "metadata": {},
    "is_active": True,
    "is_online": False,
    "is_hidden": 0,
    "state": "joined",
    "push_enabled": True,
    "push_trigger_option": "default",
    "do_not_disturb": False,
    "is_blocking_sender": False,
    "is_blocked_by_sender": False,
    "unread_message_count": 0,
    "total_unread_message_count": 0,
    "channel_unread_message_count": 0,
    "channel_mention_count": 0,
}


def user(value: UserLike) -> dict[str, Any]:
    """Write a user. An id becomes the nickname, too."""
    given: dict[str, Any] = {"user_id": value} if isinstance(value, str) else plain(value)
    nickname = given.get("user_id", "")
    return {"nickname": nickname, "profile_url": "", "metadata": {}} | given


def users(values: Iterable[UserLike]) -> list[dict[str, Any]]:
    """Write users."""
    return [user(value) for value in values]


def member(value: UserLike | Member) -> dict[str, Any]:
    """Write a member of a channel: one who has joined, is offline, and has read everything."""
    return _MEMBER | user(value)


def members(values: Iterable[UserLike | Member]) -> list[dict[str, Any]]:
    """Write members."""
    return [member(value) for value in values]


def channel(value: ChannelLike) -> dict[str, Any]:
    """Write what is said of a channel."""
    if isinstance(value, str):
        return {"channel_url": value}
    given = plain(value)
    if isinstance(value, Channel) and given.pop("is_frozen") is not None:
        given["freeze"] = value.is_frozen
    return given


def bot(value: str | Mapping[str, Any]) -> dict[str, Any]:
    """Write what is said of a bot."""
    return {"bot_userid": value} if isinstance(value, str) else dict(value)


def file(value: str | File | Mapping[str, Any]) -> dict[str, Any]:
    """Write a file, as it stands in a message's payload."""
    if isinstance(value, File):
        content = {"content_type": value.content_type, "content_size": value.size or 0}
        return {"url": value.url, "filename": value.name, "data": value.data, **content}
    return {"url": value} if isinstance(value, str) else dict(value)


def files(values: Iterable[str | File | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Write the files of a bot's callback."""
    written = [file(value) for value in values]
    return [one | {"name": one.get("filename", one.get("name", ""))} for one in written]


def updates(values: Iterable[UserLike | ReadUpdate]) -> list[dict[str, Any]]:
    """Write who has read a channel; the time is left out where it isn't said."""
    written = []
    for value in values:
        given: dict[str, Any] = {"user_id": value} if isinstance(value, str) else plain(value)
        if isinstance(value, ReadUpdate):
            del given["read_at"]
            if value.read_at is not None:
                given["read_ts"] = round(value.read_at.timestamp() * 1000)
        unread = {"channel_unread_message_count": 0, "total_unread_message_count": 0}
        written.append(unread | given)
    return written


def changes(values: Iterable[Change | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Write what was changed."""
    return [plain(value) for value in values]


def plain(value: object) -> dict[str, Any]:
    """Return an object of the face, or a mapping, as a dict."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"expected an id, an object of the receiver's or a dict, got {type(value).__name__}")
