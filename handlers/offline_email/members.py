"""Who gets a mail about a message, and why others don't. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from receiver import Member, MessageSent

WhyNot = Literal[
    "",
    "sent it",
    "is a bot",
    "is online",
    "has not joined",
    "is deactivated",
    "blocks the sender",
    "is blocked by the sender",
    "hides the channel",
    "has push off",
    "was not mentioned",
    "is not to be disturbed",
]
"""Why a member gets no mail; "" for one who does."""


def why_not(
    member: Member, message: MessageSent, *, is_bot: bool = False, respect_push: bool = True
) -> WhyNot:
    """Tell why `member` gets no mail about `message`, or "" if there is one to be sent."""
    if message.sender is not None and message.sender.user_id == member.user_id:
        return "sent it"
    if is_bot:
        return "is a bot"
    reason = _because_of_the_state(member)
    return reason or (_because_of_preferences(member, message) if respect_push else "")


def _because_of_the_state(member: Member) -> WhyNot:
    if not member.is_active:
        return "is deactivated"
    if not member.has_joined:
        return "has not joined"
    if member.is_blocking_sender:
        return "blocks the sender"
    if member.is_blocked_by_sender:
        return "is blocked by the sender"
    if member.is_hidden:
        return "hides the channel"
    return "is online" if member.is_online else ""


def _because_of_preferences(member: Member, message: MessageSent) -> WhyNot:
    if not member.push_enabled or member.push_trigger_option == "off":
        return "has push off"
    if member.push_trigger_option == "mention_only" and not mentions(message, member.user_id):
        return "was not mentioned"
    return "is not to be disturbed" if member.do_not_disturb else ""


def mentions(message: MessageSent, user_id: str) -> bool:
    """Tell whether `message` mentions the user, by name or with the whole channel."""
    return message.mention_type == "channel" or any(
        user.user_id == user_id for user in message.mentioned_users
    )


def read_member(raw: Mapping[str, Any]) -> tuple[Member, bool] | None:
    """Read a member and whether it is a bot. Where push is not spoken of, it counts as on.

    (`Member` takes what was not sent for False, and the API's list of members doesn't say.)
    """
    member = Member.read({"push_enabled": True, **raw})
    return None if member is None else (member, raw.get("is_bot") in (True, 1, "true"))


def sort_out(
    message: MessageSent, members: Iterable[Any], *, respect_push: bool = True
) -> tuple[list[str], dict[str, int]]:
    """Return the ids of those who get a mail, in order, and how many don't by reason.

    `members` are as JSON has them. A silent message is for nobody.
    """
    readers: dict[str, None] = {}
    others: dict[str, int] = {}
    if message.silent:
        return [], {}
    for raw in members:
        found = read_member(raw) if isinstance(raw, dict) else None
        if found is None:
            continue
        member, is_bot = found
        reason = why_not(member, message, is_bot=is_bot, respect_push=respect_push)
        if reason:
            others[reason] = others.get(reason, 0) + 1
        else:
            readers[member.user_id] = None
    return list(readers), others


def member_in(messages: Sequence[MessageSent], user_id: str) -> Member | None:
    """Return what the latest of the messages says of a member, or None if none speaks of them."""
    for message in reversed(messages):
        members = message.members
        message.forget()  # a digest has many messages, and each may have many members
        for member in members:
            if member.user_id == user_id:
                return member
    return None
