"""What can be done with bots."""

from __future__ import annotations

import secrets
from typing import Any

from receiver.sandbox import errors
from receiver.sandbox.channels import Channels
from receiver.sandbox.messages import Draft, Messages
from receiver.sandbox.model import Bot, Channel, Message, User
from receiver.sandbox.users import Users
from receiver.sandbox.world import Occurrence, World


class Bots:
    """Creating and changing bots, and speaking as one. A bot is a user, too: it has the same id."""

    def __init__(self, world: World, users: Users, channels: Channels, messages: Messages) -> None:
        self._world = world
        self._users = users
        self._channels = channels
        self._messages = messages

    def create(
        self,
        bot_userid: str,
        bot_nickname: str,
        bot_callback_url: str,
        *,
        bot_profile_url: str = "",
        is_privacy_mode: bool,
        show_member: bool = False,
        enable_mark_as_read: bool = True,
    ) -> Bot:
        """Add a bot with a new token."""
        if bot_userid in self._world.users:
            raise errors.taken("bot_userid")
        now = self._world.now()
        # A bot is always there: nobody needs to be told by e-mail what a bot missed.
        face = User(bot_userid, bot_nickname, bot_profile_url, is_bot=True, is_online=True, created_at=now)
        bot = Bot(
            bot_userid,
            secrets.token_hex(20),
            bot_callback_url,
            is_privacy_mode,
            show_member,
            enable_mark_as_read,
        )
        self._world.users[bot_userid] = face
        self._world.bots[bot_userid] = bot
        self._world.save(face, bot)
        self._world.happened(Occurrence("sandbox:user", details={"user_id": bot_userid}))
        return bot

    def update(
        self, bot: Bot, changes: dict[str, Any], *, nickname: str | None, profile_url: str | None
    ) -> None:
        """Set fields of the bot, and its face where it is not None."""
        for key, value in changes.items():
            setattr(bot, key, value)
        self._world.save(bot)
        self._users.update(self._world.user(bot.bot_userid), nickname=nickname, profile_url=profile_url)

    def delete(self, bot: Bot) -> None:
        """Remove a bot from its channels and from the application."""
        self._users.delete(self._world.user(bot.bot_userid))

    def join(self, bot: Bot, channels: list[Channel]) -> None:
        """Make the bot a member of group channels."""
        face = self._world.user(bot.bot_userid)
        for channel in channels:
            self._channels.join(channel, [face])

    def leave(self, bot: Bot, channel: Channel | None = None) -> None:
        """Take the bot out of one channel, or of all of them."""
        face = self._world.user(bot.bot_userid)
        if channel and bot.bot_userid not in channel.members:
            raise errors.not_found("Channel")
        for each in [channel] if channel else list(self._world.channels_of(bot.bot_userid)):
            self._channels.leave(each, [face])

    def send(self, bot: Bot, channel: Channel, draft: Draft) -> Message:
        """Send a message in the bot's name."""
        draft.mark_as_read = draft.mark_as_read and bot.enable_mark_as_read
        return self._messages.send(channel, self._world.user(bot.bot_userid), draft)
