"""The model in the words of the Platform API's answers and of webhooks."""

from __future__ import annotations

from typing import Any

from receiver.sandbox.model import Bot, Channel, Message, User
from receiver.sandbox.world import World

Json = dict[str, Any]


def brief(user: User) -> Json:
    """A user inside something else: a sender, an inviter, someone who joined."""
    fields: Json = {
        "user_id": user.user_id,
        "nickname": user.nickname,
        "profile_url": user.profile_url,
        "metadata": dict(user.metadata),
    }
    return fields | {"is_bot": True} if user.is_bot else fields


def listed(user: User) -> Json:
    """A user in a list, a member, a participant. `last_seen_at` is 0 while the user is online."""
    return brief(user) | {
        "is_active": user.is_active,
        "is_online": user.is_online,
        "last_seen_at": 0 if user.is_online else user.last_seen_at,
    }


def user(user: User) -> Json:
    """A user as `GET /users/{user_id}` shows it: with the access token."""
    return listed(user) | {"access_token": user.access_token, "created_at": user.created_at // 1000}


def bot(world: World, bot: Bot) -> Json:
    """A bot, with its token, as its owner sees it."""
    face = world.user(bot.bot_userid)
    return {
        "bot": {
            "bot_token": bot.bot_token,
            "bot_userid": bot.bot_userid,
            "bot_nickname": face.nickname,
            "bot_profile_url": face.profile_url,
        },
        "bot_callback_url": bot.bot_callback_url,
        "is_privacy_mode": bot.is_privacy_mode,
        "show_member": bot.show_member,
        "enable_mark_as_read": bot.enable_mark_as_read,
    }


def message(world: World, message: Message) -> Json:
    """A message as the API answers it."""
    fields: Json = {
        "message_id": message.message_id,
        "type": message.type,
        "channel_url": message.channel_url,
        "message": message.message,
        "data": message.data,
        "custom_type": message.custom_type,
        "created_at": message.created_at,
        "updated_at": message.updated_at,
        "silent": message.silent,
        "mention_type": message.mention_type,
        "mentioned_users": mentioned(world, message),
        "file": {},
    }
    if message.file:
        file = message.file
        fields["file"] = {"name": file.name, "url": file.url, "type": file.type, "size": file.size}
        fields["file"]["data"] = message.data
    if message.sender_id is not None:
        fields["user"] = sender(world, message.sender_id)
    return fields


def sender(world: World, user_id: str) -> Json:
    """The sender of a message, who may be gone."""
    found = world.users.get(user_id)
    return brief(found or User(user_id, ""))


def mentioned(world: World, message: Message) -> list[Json]:
    """The users whom a message mentions."""
    return [brief(world.users[user_id]) for user_id in message.mentioned if user_id in world.users]


def operators(world: World, channel: Channel) -> list[Json]:
    """The operators of an open channel."""
    return [brief(world.users[user_id]) for user_id in channel.operators if user_id in world.users]


def members(world: World, channel: Channel) -> list[Json]:
    """The members of a group channel, or the participants of an open one."""
    people = [world.users[user_id] for user_id in channel.members if user_id in world.users]
    if channel.kind == "open":
        return [listed(user) | {"is_muted": False} for user in people]
    return [listed(user) | {"state": "joined"} for user in people]


def channel(
    world: World,
    channel: Channel,
    *,
    with_members: bool = False,
    with_receipts: bool = False,
    viewer: str | None = None,
) -> Json:
    """A channel as the API answers it; `viewer` is the user whose unread messages are counted."""
    fields: Json = {
        "channel_url": channel.channel_url,
        "name": channel.name,
        "cover_url": channel.cover_url,
        "data": channel.data,
        "custom_type": channel.custom_type,
        "created_at": channel.created_at // 1000,
        "max_length_message": -1,
    }
    if channel.kind == "open":
        fields |= {
            "participant_count": len(channel.members),
            "freeze": False,
            "operators": operators(world, channel),
        }
        return fields | {"participants": members(world, channel)} if with_members else fields
    viewed = channel.members.get(viewer) if viewer else None
    messages = world.messages[channel.channel_url]
    last = next((each for each in reversed(messages.values()) if not each.silent), None)
    fields |= {
        "is_distinct": channel.is_distinct,
        "is_super": False,
        "is_public": False,
        "member_count": len(channel.members),
        "joined_member_count": len(channel.members),
        "unread_message_count": viewed.unread if viewed else 0,
        "unread_mention_count": viewed.mentions if viewed else 0,
        "last_message": message(world, last) if last else None,
    }
    if viewed:
        fields["is_push_enabled"] = True
    if with_members:
        fields["members"] = members(world, channel)
    if with_receipts:
        fields["read_receipt"] = {each.user_id: each.read_at for each in channel.members.values()}
    return fields
