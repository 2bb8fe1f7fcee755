"""The event of each category, as type checkers see it."""

from __future__ import annotations

from typing import Generic, TypeVar, overload

from receiver.events import (
    AnnouncementChannelsCreated,
    AnnouncementSent,
    BotEvent,
    BotMessage,
    ChannelChanged,
    ChannelCreated,
    ChannelEntered,
    ChannelExited,
    ChannelFreezeChanged,
    ChannelRemoved,
    ChannelReported,
    Event,
    ImageBlocked,
    InviteDeclined,
    MembersInvited,
    MembersJoined,
    MembersLeft,
    MessageDeleted,
    MessageRead,
    MessageReported,
    MessageSent,
    MessageUpdated,
    ModerationTriggered,
    NotificationEvent,
    OperatorsRegistered,
    OperatorsUnregistered,
    ProfanityFiltered,
    RateLimitExceeded,
    ReactionAdded,
    ReactionDeleted,
    UserBlocked,
    UserEvent,
    UserReported,
    UserUnblocked,
    names,
)

Name_co = TypeVar("Name_co", bound=str, covariant=True)


class Of(Generic[Name_co]):
    """The event of a category."""

    @overload
    def event(self: Of[names.AnnouncementChannelsCreated]) -> AnnouncementChannelsCreated: ...
    @overload
    def event(self: Of[names.AnnouncementSent]) -> AnnouncementSent: ...
    @overload
    def event(self: Of[names.BotEvent]) -> BotEvent: ...
    @overload
    def event(self: Of[names.BotMessage]) -> BotMessage: ...
    @overload
    def event(self: Of[names.ChannelChanged]) -> ChannelChanged: ...
    @overload
    def event(self: Of[names.ChannelCreated]) -> ChannelCreated: ...
    @overload
    def event(self: Of[names.ChannelEntered]) -> ChannelEntered: ...
    @overload
    def event(self: Of[names.ChannelExited]) -> ChannelExited: ...
    @overload
    def event(self: Of[names.ChannelFreezeChanged]) -> ChannelFreezeChanged: ...
    @overload
    def event(self: Of[names.ChannelRemoved]) -> ChannelRemoved: ...
    @overload
    def event(self: Of[names.ChannelReported]) -> ChannelReported: ...
    @overload
    def event(self: Of[names.ImageBlocked]) -> ImageBlocked: ...
    @overload
    def event(self: Of[names.InviteDeclined]) -> InviteDeclined: ...
    @overload
    def event(self: Of[names.MembersInvited]) -> MembersInvited: ...
    @overload
    def event(self: Of[names.MembersJoined]) -> MembersJoined: ...
    @overload
    def event(self: Of[names.MembersLeft]) -> MembersLeft: ...
    @overload
    def event(self: Of[names.MessageDeleted]) -> MessageDeleted: ...
    @overload
    def event(self: Of[names.MessageRead]) -> MessageRead: ...
    @overload
    def event(self: Of[names.MessageReported]) -> MessageReported: ...
    @overload
    def event(self: Of[names.MessageSent]) -> MessageSent: ...
    @overload
    def event(self: Of[names.MessageUpdated]) -> MessageUpdated: ...
    @overload
    def event(self: Of[names.ModerationTriggered]) -> ModerationTriggered: ...
    @overload
    def event(self: Of[names.NotificationEvent]) -> NotificationEvent: ...
    @overload
    def event(self: Of[names.OperatorsRegistered]) -> OperatorsRegistered: ...
    @overload
    def event(self: Of[names.OperatorsUnregistered]) -> OperatorsUnregistered: ...
    @overload
    def event(self: Of[names.ProfanityFiltered]) -> ProfanityFiltered: ...
    @overload
    def event(self: Of[names.RateLimitExceeded]) -> RateLimitExceeded: ...
    @overload
    def event(self: Of[names.ReactionAdded]) -> ReactionAdded: ...
    @overload
    def event(self: Of[names.ReactionDeleted]) -> ReactionDeleted: ...
    @overload
    def event(self: Of[names.UserBlocked]) -> UserBlocked: ...
    @overload
    def event(self: Of[names.UserEvent]) -> UserEvent: ...
    @overload
    def event(self: Of[names.UserReported]) -> UserReported: ...
    @overload
    def event(self: Of[names.UserUnblocked]) -> UserUnblocked: ...
    def event(self) -> Event:
        """Return the event of the category."""
        raise NotImplementedError  # nobody calls it
