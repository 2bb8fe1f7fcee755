"""Bot callbacks: the messages that are meant for a bot, posted to that bot's URL."""

from __future__ import annotations

from receiver.sandbox import views
from receiver.sandbox.delivery import Delivery
from receiver.sandbox.messages import named_in
from receiver.sandbox.model import Bot, Channel, Message
from receiver.sandbox.views import Json
from receiver.sandbox.world import Occurrence, World


class Callbacks:
    """Tells bots what was said in their channels."""

    def __init__(self, world: World, delivery: Delivery, app_id: str) -> None:
        self._world = world
        self._delivery = delivery
        self._app_id = app_id

    def heard(self, occurrence: Occurrence) -> None:
        """Post a message to every bot of its channel that it is meant for. Admin messages are for nobody."""
        channel, message = occurrence.channel, occurrence.message
        if occurrence.category != "group_channel:message_send" or not channel or not message:
            return
        if message.sender_id is None:
            return
        people = [self._world.users[user_id] for user_id in channel.members]
        named = dict.fromkeys([*message.mentioned, *named_in(message.message, people)])
        for user_id in channel.members:
            bot = self._world.bots.get(user_id)
            if bot and bot.bot_callback_url and wants(bot, message, set(named)):
                payload = self._payload(bot, channel, message, list(named))
                self._delivery.post("callback", bot.bot_callback_url, payload)

    def _payload(self, bot: Bot, channel: Channel, message: Message, named: list[str]) -> Json:
        sender = views.sender(self._world, message.sender_id or "")
        face = self._world.user(bot.bot_userid)
        file = message.file
        payload: Json = {
            "category": "bot_message_notification",
            "app_id": self._app_id,
            "mentioned": named,
            "ts": message.created_at,
            "message": {
                "text": message.message,
                "data": message.data,
                "files": [{"url": file.url, "name": file.name, "type": file.type, "size": file.size}]
                if file
                else [],
                "message_id": message.message_id,
                "created_at": message.created_at,
            },
            "channel": {
                "channel_url": channel.channel_url,
                "name": channel.name,
                "cover_url": channel.cover_url,
            },
            "sender": {key: sender[key] for key in ("user_id", "nickname", "profile_url")},
            "bot": {
                "bot_token": bot.bot_token,
                "bot_userid": bot.bot_userid,
                "bot_nickname": face.nickname,
                "bot_profile_url": face.profile_url,
            },
        }
        if bot.show_member:
            payload["members"] = self._members(channel)
        return payload

    def _members(self, channel: Channel) -> list[Json]:
        return [
            {
                "user_id": user.user_id,
                "nickname": user.nickname,
                "profile_url": user.profile_url,
                "is_online": user.is_online,
                "is_push_enabled": True,
                "unread_message_count": channel.members[user.user_id].unread,
            }
            for user in (self._world.users[user_id] for user_id in channel.members)
        ]


def wants(bot: Bot, message: Message, named: set[str]) -> bool:
    """Tell whether a message is meant for a bot: never its own; in privacy mode, if addressed."""
    if message.sender_id == bot.bot_userid:
        return False
    return not bot.is_privacy_mode or message.message.startswith("/") or bot.bot_userid in named
