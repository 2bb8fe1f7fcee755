"""Group channels and the messages in them. (Platform API v3, "Group Channel", "Messages".)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from urllib.parse import quote

from receiver.sendbird.api import path_of
from receiver.sendbird.endpoints import Endpoints
from receiver.sendbird.resources import Channel, Message, User, counts

_IDS_PER_CALL = 50  # keeps the query short enough for any server


class Channels(Endpoints):
    """Calls about group channels."""

    async def get_channel(self, channel_url: str, *, show_member: bool = False) -> Channel:
        """Look up a group channel, with its members if `show_member`."""
        # 2016 called the switch `member`; today it is `show_member`. Unknown ones are ignored.
        params = {"member": "true", "show_member": "true"} if show_member else None
        return Channel.read(await self.call("GET", path_of("group_channels", channel_url), params=params))

    async def list_channels(self) -> AsyncIterator[Channel]:
        """Iterate over all group channels, fetching page by page."""
        async for raw in self._pages("/group_channels", "channels"):
            yield Channel.read(raw)

    async def list_members(self, channel_url: str) -> AsyncIterator[User]:
        """Iterate over a group channel's members, fetching page by page."""
        async for raw in self._pages(path_of("group_channels", channel_url, "members"), "members"):
            yield User.read(raw)

    async def unread_counts(self, channel_url: str, user_ids: Iterable[str]) -> dict[str, int]:
        """Return how many messages of a group channel each user has not read."""
        path = path_of("group_channels", channel_url, "messages", "unread_count")
        unread: dict[str, int] = {}
        left = iter(user_ids)
        while some := list(islice(left, _IDS_PER_CALL)):
            ids = ",".join(quote(user_id, safe="") for user_id in some)
            unread |= counts((await self.call("GET", f"{path}?user_ids={ids}")).get("unread"))
        return unread

    async def mark_as_read(self, channel_url: str, user_id: str) -> None:
        """Mark all messages of a group channel as read by a user."""
        path = path_of("group_channels", channel_url, "messages", "mark_as_read")
        await self.call("PUT", path, json={"user_id": user_id})

    async def send_message(
        self,
        channel_url: str,
        message: str,
        *,
        user_id: str | None = None,
        data: str = "",
        custom_type: str = "",
        mentioned: Sequence[str] = (),
        mark_as_read: bool | None = None,
        send_push: bool | None = None,
        is_silent: bool | None = None,
        dedup_id: str | None = None,
    ) -> Message:
        """Send a text message to a group channel as a user, or as an admin message without `user_id`.

        `mentioned` are user ids. `dedup_id` is as in `send_bot_message`.
        """
        body = {
            "message_type": "MESG" if user_id else "ADMM",
            "user_id": user_id,
            "message": message,
            "data": data,
            "custom_type": custom_type or None,
            "mentioned_user_ids": list(mentioned) or None,
            "mark_as_read": mark_as_read,
            "send_push": send_push,
            "is_silent": is_silent,
            "dedup_id": dedup_id,
        }
        return await self._send(path_of("group_channels", channel_url, "messages"), channel_url, body)

    async def invite(self, channel_url: str, user_ids: Sequence[str]) -> Channel:
        """Invite users to a group channel."""
        path = path_of("group_channels", channel_url, "invite")
        return Channel.read(await self.call("POST", path, json={"user_ids": list(user_ids)}, idempotent=True))
