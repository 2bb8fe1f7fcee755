"""Channels, who is in them, and who may run them."""

from __future__ import annotations

from functools import cached_property

from receiver.events.event import Event
from receiver.events.values import Change, User


class ChannelCreated(Event):
    """A channel was created. `occurred_at` may come in seconds; it is a time like any other here."""

    @cached_property
    def inviter(self) -> User | None:
        """Who created a group channel by inviting, where Sendbird says so."""
        return User.read(self.raw.get("inviter"))

    @cached_property
    def operators(self) -> tuple[User, ...]:
        """Who runs an open channel."""
        return User.read_all(self.raw.get("operators"))


class ChannelChanged(Event):
    """A group channel's name, cover, custom type, data or access was changed."""

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What was changed."""
        return Change.read_all(self.raw.get("changes"))


class ChannelRemoved(Event):
    """A channel was removed."""


class ChannelFreezeChanged(Event):
    """A group channel was frozen or unfrozen: `channel.is_frozen` says which, where Sendbird says so."""


class ParticipantEvent(Event):
    """What entering and leaving an open channel share."""

    @cached_property
    def user(self) -> User | None:
        """Who entered or left."""
        return User.read(self.raw.get("user"))


class ChannelEntered(ParticipantEvent):
    """A user entered an open channel."""


class ChannelExited(ParticipantEvent):
    """A user left an open channel."""


class MembersInvited(Event):
    """Users were invited to a group channel."""

    @cached_property
    def inviter(self) -> User | None:
        """Who invites."""
        return User.read(self.raw.get("inviter"))

    @cached_property
    def invitees(self) -> tuple[User, ...]:
        """Who is invited."""
        return User.read_all(self.raw.get("invitees"))


class MembershipEvent(Event):
    """What joining, leaving and declining share."""

    @cached_property
    def users(self) -> tuple[User, ...]:
        """Whom it is about; `members` are those who are in the channel."""
        return User.read_all(self.raw.get("users"))


class MembersJoined(MembershipEvent):
    """Users joined a group channel."""


class MembersLeft(MembershipEvent):
    """Users left a group channel."""


class InviteDeclined(MembershipEvent):
    """Users declined an invitation to a group channel."""


class OperatorsEvent(Event):
    """What both operator events share."""

    @cached_property
    def operators(self) -> tuple[User, ...]:
        """Who was made an operator, or is one no longer."""
        return User.read_all(self.raw.get("operators"))

    @cached_property
    def requester(self) -> User | None:
        """The operator who did it."""
        return User.read(self.raw.get("requester"))


class OperatorsRegistered(OperatorsEvent):
    """An operator made others operators."""


class OperatorsUnregistered(OperatorsEvent):
    """An operator took the role from others."""
