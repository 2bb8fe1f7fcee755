"""Users, apart from any channel."""

from __future__ import annotations

from functools import cached_property

from receiver.events.event import Event
from receiver.events.values import User


class UserEvent(Event):
    """Something about a user whose further shape is not confirmed: muted, banned, push preferences, ..."""

    @cached_property
    def user(self) -> User | None:
        """Whom it is about."""
        return User.read(self.raw.get("user")) or User.read(self.raw.get("user_id"))


class BlockEvent(Event):
    """What blocking and unblocking share. Neither carries a channel or a time."""

    @cached_property
    def blocker(self) -> User | None:
        """Who blocks, or blocks no longer."""
        return User.read(self.raw.get("blocker")) or User.read(self.raw.get("unblocker"))

    @cached_property
    def blocked(self) -> User | None:
        """Who is blocked, or is no longer."""
        return User.read(self.raw.get("blockee")) or User.read(self.raw.get("unblockee"))


class UserBlocked(BlockEvent):
    """A user blocked another one."""


class UserUnblocked(BlockEvent):
    """A user unblocked another one."""


class RateLimitExceeded(UserEvent):
    """A user sent more messages than allowed."""
