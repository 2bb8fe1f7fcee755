"""The members that come with an event, when the application's webhooks include them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from receiver.events.fields import count, flag, mapping, text
from receiver.events.values import User


@dataclass(frozen=True, slots=True)
class Member(User):
    """A member of the channel, the sender among them. What was not sent is False, 0 or "".

    `state` is "joined", "invited" or "" (2016). `is_active` is False for deactivated users only.
    `unread_message_count` is the member's total (2016); today's counts stand beside it.
    """

    is_online: bool = False
    is_active: bool = True
    is_hidden: bool = False
    state: str = ""
    push_enabled: bool = False
    push_trigger_option: str = ""
    do_not_disturb: bool = False
    is_blocking_sender: bool = False
    is_blocked_by_sender: bool = False
    unread_message_count: int = 0
    total_unread_message_count: int = 0
    channel_unread_message_count: int = 0
    channel_mention_count: int = 0

    @property
    def has_joined(self) -> bool:
        """False for those who are invited and have not accepted."""
        return self.state != "invited"

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Return the member, or None where there is no id."""
        data = mapping(value)
        user_id = text(data.get("user_id"))
        if not user_id:
            return None
        get = data.get
        return cls(
            user_id=user_id,
            nickname=text(get("nickname")),
            profile_url=text(get("profile_url")),
            metadata=mapping(get("metadata")),
            is_online=flag(get("is_online")),
            is_active=flag(get("is_active"), default=True),
            is_hidden=flag(get("is_hidden")),
            state=text(get("state")),
            # Bot callbacks of 2016 call it is_push_enabled.
            push_enabled=flag(get("push_enabled", get("is_push_enabled"))),
            push_trigger_option=_trigger_option(get("push_trigger_option")),
            do_not_disturb=flag(get("do_not_disturb")),
            is_blocking_sender=flag(get("is_blocking_sender")),
            is_blocked_by_sender=flag(get("is_blocked_by_sender")),
            unread_message_count=count(get("unread_message_count")),
            total_unread_message_count=count(get("total_unread_message_count")),
            channel_unread_message_count=count(get("channel_unread_message_count")),
            channel_mention_count=count(get("channel_mention_count")),
        )


def _trigger_option(value: object) -> str:
    """Return the option's name. It has been seen as a boolean, which can only mean all or off."""
    if isinstance(value, bool):
        return "all" if value else "off"
    return text(value)
