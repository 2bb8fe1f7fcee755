"""Bots. (Platform API v3, "Bot Interface".)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from receiver.sendbird.api import path_of
from receiver.sendbird.endpoints import Endpoints, given
from receiver.sendbird.resources import BotAccount, Channel, Message, objects


class Bots(Endpoints):
    """Calls about bots, and as one."""

    async def create_bot(
        self,
        bot_userid: str,
        *,
        nickname: str,
        callback_url: str,
        profile_url: str = "",
        is_privacy_mode: bool = True,
        enable_mark_as_read: bool | None = None,
        show_member: bool | None = None,
    ) -> BotAccount:
        """Create a bot. In privacy mode it gets messages that begin with `/` or mention it, else all."""
        body = {
            "bot_userid": bot_userid,
            "bot_nickname": nickname,
            "bot_profile_url": profile_url,
            "bot_callback_url": callback_url,
            "is_privacy_mode": is_privacy_mode,
            "enable_mark_as_read": enable_mark_as_read,
            "show_member": show_member,
        }
        return BotAccount.read(await self.call("POST", "/bots", json=given(body)))

    async def list_bots(self) -> AsyncIterator[BotAccount]:
        """Iterate over all bots, fetching page by page."""
        async for raw in self._pages("/bots", "bots"):
            yield BotAccount.read(raw)

    async def get_bot(self, bot_userid: str) -> BotAccount:
        """Look up a bot."""
        return BotAccount.read(await self.call("GET", path_of("bots", bot_userid)))

    async def update_bot(
        self,
        bot_userid: str,
        *,
        nickname: str | None = None,
        callback_url: str | None = None,
        profile_url: str | None = None,
        is_privacy_mode: bool | None = None,
        enable_mark_as_read: bool | None = None,
        show_member: bool | None = None,
    ) -> BotAccount:
        """Change what is given, and leave the rest. (PUT today; the 2016 text prints POST.)"""
        body = {
            "bot_nickname": nickname,
            "bot_profile_url": profile_url,
            "bot_callback_url": callback_url,
            "is_privacy_mode": is_privacy_mode,
            "enable_mark_as_read": enable_mark_as_read,
            "show_member": show_member,
        }
        return BotAccount.read(await self.call("PUT", path_of("bots", bot_userid), json=given(body)))

    async def delete_bot(self, bot_userid: str) -> None:
        """Delete a bot."""
        await self.call("DELETE", path_of("bots", bot_userid))

    async def join_channels(self, bot_userid: str, channel_urls: Sequence[str]) -> tuple[Channel, ...]:
        """Make a bot a member of group channels; return them."""
        path = path_of("bots", bot_userid, "channels")
        answer = await self.call("POST", path, json={"channel_urls": list(channel_urls)}, idempotent=True)
        return tuple(Channel.read(raw) for raw in objects(answer, "channels"))

    async def leave_channel(self, bot_userid: str, channel_url: str) -> None:
        """Make a bot leave one channel."""
        await self.call("DELETE", path_of("bots", bot_userid, "channels", channel_url))

    async def leave_all_channels(self, bot_userid: str) -> None:
        """Make a bot leave all its channels."""
        await self.call("DELETE", path_of("bots", bot_userid, "channels"))

    async def send_bot_message(
        self,
        bot_userid: str,
        channel_url: str,
        message: str,
        *,
        data: str = "",
        custom_type: str = "",
        mentioned: Sequence[str] = (),
        mark_as_read: bool | None = None,
        send_push: bool | None = None,
        dedup_id: str | None = None,
        created_at: int | None = None,
    ) -> Message:
        """Send a text message as a bot.

        Args:
            bot_userid: the bot that sends it, a member of the channel.
            channel_url: a group channel.
            message: the text.
            data: any string that goes with it.
            custom_type: at most 128 characters.
            mentioned: user ids of who is mentioned.
            mark_as_read: whether the channel counts as read by the bot.
            send_push: whether members get a push notification.
            dedup_id: an id of your own. A message that has one is never posted twice, so the call is
                repeated even when its answer was lost; without one it is not.
            created_at: milliseconds since the epoch; default: now.
        """
        body = {
            "message": message,
            "data": data,
            "channel_url": channel_url,
            "custom_type": custom_type or None,
            "mentioned": list(mentioned) or None,
            "mark_as_read": mark_as_read,
            "send_push": send_push,
            "dedup_id": dedup_id,
            "created_at": created_at,
        }
        return await self._send(path_of("bots", bot_userid, "send"), channel_url, body)
