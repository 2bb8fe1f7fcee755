"""What can be done with channels."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Any

from receiver.sandbox import errors, views
from receiver.sandbox.model import Channel, Kind, Member, User
from receiver.sandbox.world import Occurrence, World


class Channels:
    """Creating, changing, entering, leaving and reading channels."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create(
        self,
        kind: Kind,
        *,
        name: str,
        channel_url: str = "",
        users: Iterable[User] = (),
        operators: Iterable[User] = (),
        inviter: User | None = None,
        is_distinct: bool = False,
        cover_url: str = "",
        data: str = "",
        custom_type: str = "",
    ) -> Channel:
        """Add a channel; the members of a group channel join at once. A distinct one may be there already."""
        users, operators = list(users), list(operators)
        if is_distinct and (found := self._distinct({user.user_id for user in users})):
            return found
        channel_url = channel_url or f"sendbird_{kind}_channel_{secrets.token_hex(12)}"
        if not re.fullmatch(r"[\w-]{1,248}", channel_url):
            raise errors.not_valid("channel_url", "letters, digits, _ and -")
        if channel_url in self._world.channels:
            raise errors.taken("channel_url")
        now = self._world.now()
        channel = Channel(channel_url, kind, name, now, cover_url, data, custom_type, is_distinct)
        channel.operators = [user.user_id for user in operators]
        if kind == "group":
            channel.members = {user.user_id: Member(user.user_id, now, now) for user in users}
        self._world.channels[channel_url] = channel
        self._world.save(channel)
        # In a real capture, this one category counts in seconds.
        details: dict[str, Any] = {"created_at": now // 1000}
        if kind == "open":
            details["operators"] = [views.brief(user) for user in operators]
        elif inviter:
            details["inviter"] = views.brief(inviter)
        self._world.happened(Occurrence(f"{channel.category}:create", channel, details=details))
        if channel.members:
            self._joined(channel, users, now)
        return channel

    def update(self, channel: Channel, changes: dict[str, Any]) -> None:
        """Set properties of the channel; group channels report those that became different."""
        different = []
        for key, new in changes.items():
            old = getattr(channel, key)
            if old != new:
                different.append({"key": key, "old": old, "new": new})
                setattr(channel, key, new)
        self._world.save(channel)
        if different and channel.kind == "group":
            details = {"updated_at": self._world.now(), "changes": different}
            self._world.happened(Occurrence("group_channel:changed", channel, details=details))
        elif different:
            self._world.happened(Occurrence("sandbox:channel", channel))

    def delete(self, channel: Channel) -> None:
        """Remove a channel with all its messages."""
        del self._world.channels[channel.channel_url]
        self._world.forget(channel, *self._world.messages.pop(channel.channel_url, {}).values())
        details = {"removed_at": self._world.now()}
        self._world.happened(Occurrence(f"{channel.category}:remove", channel, details=details))

    def invite(self, channel: Channel, users: Iterable[User], inviter: User | None = None) -> None:
        """Invite users to a group channel; they accept at once, as is Sendbird's default."""
        invitees = [user for user in users if user.user_id not in channel.members]
        if not invitees:
            return
        details: dict[str, Any] = {"invited_at": self._world.now()}
        if inviter:
            details["inviter"] = views.brief(inviter)
        details["invitees"] = [views.brief(user) for user in invitees]
        self._world.happened(Occurrence("group_channel:invite", channel, details=details))
        self.join(channel, invitees)

    def join(self, channel: Channel, users: Iterable[User]) -> None:
        """Make users members of a group channel."""
        now = self._world.now()
        newcomers = [user for user in users if user.user_id not in channel.members]
        if not newcomers:
            return
        for user in newcomers:
            channel.members[user.user_id] = Member(user.user_id, now, now)
        self._world.save(channel)
        self._joined(channel, newcomers, now)

    def leave(self, channel: Channel, users: Iterable[User]) -> None:
        """Take users out of a group channel."""
        leavers = [user for user in users if channel.members.pop(user.user_id, None)]
        if not leavers:
            return
        self._world.save(channel)
        details = {"left_at": self._world.now(), "users": [views.brief(user) for user in leavers]}
        self._world.happened(Occurrence("group_channel:leave", channel, details=details))

    def enter(self, channel: Channel, user: User) -> None:
        """Make a user a participant of an open channel."""
        if user.user_id in channel.members:
            return
        now = self._world.now()
        channel.members[user.user_id] = Member(user.user_id, now, now)
        self._world.save(channel)
        details = {"entered_at": now, "users": [views.brief(user)]}
        self._world.happened(Occurrence("open_channel:enter", channel, details=details))

    def exit(self, channel: Channel, user: User) -> None:
        """Take a user out of an open channel."""
        if not channel.members.pop(user.user_id, None):
            raise errors.not_found("User")
        self._world.save(channel)
        details = {"exited_at": self._world.now(), "users": [views.brief(user)]}
        self._world.happened(Occurrence("open_channel:exit", channel, details=details))

    def read(self, channel: Channel, user: User) -> None:
        """Mark everything in a group channel as read by `user`; reported if there was something to read."""
        member = channel.members.get(user.user_id)
        if member is None:
            raise errors.not_authorized(f'User "{user.user_id}" must be a member of the channel.')
        unread, member.unread, member.mentions = member.unread, 0, 0
        member.read_at = self._world.now()
        self._world.save(channel)
        if unread:
            update = {
                "user_id": user.user_id,
                "read_ts": member.read_at,
                "channel_unread_message_count": 0,
                "total_unread_message_count": self._world.unread_of(user.user_id),
            }
            details = {"read_updates": [update]}
            self._world.happened(Occurrence("group_channel:message_read", channel, details=details))

    def _joined(self, channel: Channel, users: list[User], now: int) -> None:
        details = {"joined_at": now, "users": [views.brief(user) for user in users]}
        self._world.happened(Occurrence("group_channel:join", channel, details=details))

    def _distinct(self, user_ids: set[str]) -> Channel | None:
        for channel in self._world.channels.values():
            if channel.is_distinct and channel.members.keys() == user_ids:
                return channel
        return None
