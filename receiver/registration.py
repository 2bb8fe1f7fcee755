# mypy: disable-error-code="overload-overlap"
# (Its overloads overlap on purpose: the first that fits is the narrowest.)
"""Registering functions, as type checkers see it: the categories given to `on` say which event comes.

Categories of one type: that type. Up to four categories of different types: their union, which `Takes`
makes of what `Of` finds for each. A prefix, "*", or a category that isn't known: `Event`.

More than four of different types are not checked, nor is `where` where several categories are given, other
than that it gets the right type. Where a lambda for `where` looks at nothing but what every event has, mypy
doesn't check the function; pyright does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar, overload

from typing_extensions import Unpack

from receiver.context import Context
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
from receiver.events.by_category import Of
from receiver.events.names import Known
from receiver.wishes import Wishes

E = TypeVar("E", bound=Event)
R = TypeVar("R")
Given_co = TypeVar("Given_co", covariant=True)
K1 = TypeVar("K1", bound=Known)
K2 = TypeVar("K2", bound=Known)
K3 = TypeVar("K3", bound=Known)
K4 = TypeVar("K4", bound=Known)
E1 = TypeVar("E1")
E2 = TypeVar("E2")
E3 = TypeVar("E3")
E4 = TypeVar("E4")
S1_co = TypeVar("S1_co", covariant=True)
S2_co = TypeVar("S2_co", covariant=True)
S3_co = TypeVar("S3_co", covariant=True)
S4_co = TypeVar("S4_co", covariant=True)


class Gives(Protocol[Given_co]):
    """Something with a type of event."""

    def event(self) -> Given_co:
        """Return its event."""
        ...


class Takes(Generic[S1_co, S2_co, S3_co, S4_co]):
    """A decorator of functions that take each of four events."""

    def __call__(
        self: Takes[Gives[E1], Gives[E2], Gives[E3], Gives[E4]],
        function: Callable[[E1 | E2 | E3 | E4, Context], R],
        /,
    ) -> Callable[[E1 | E2 | E3 | E4, Context], R]:
        """Register the function, and return it."""
        raise NotImplementedError  # what `on` returns is a plain function


One = Takes[Gives[E], Gives[E], Gives[E], Gives[E]]


class Registration:
    """The part of `Handlers` that registers functions for events."""

    @overload
    def on(
        self,
        *categories: names.AnnouncementChannelsCreated,
        **wishes: Unpack[Wishes[AnnouncementChannelsCreated]],
    ) -> One[AnnouncementChannelsCreated]: ...
    @overload
    def on(
        self, *categories: names.AnnouncementSent, **wishes: Unpack[Wishes[AnnouncementSent]]
    ) -> One[AnnouncementSent]: ...
    @overload
    def on(self, *categories: names.BotEvent, **wishes: Unpack[Wishes[BotEvent]]) -> One[BotEvent]: ...
    @overload
    def on(self, *categories: names.BotMessage, **wishes: Unpack[Wishes[BotMessage]]) -> One[BotMessage]: ...
    @overload
    def on(
        self, *categories: names.ChannelChanged, **wishes: Unpack[Wishes[ChannelChanged]]
    ) -> One[ChannelChanged]: ...
    @overload
    def on(
        self, *categories: names.ChannelCreated, **wishes: Unpack[Wishes[ChannelCreated]]
    ) -> One[ChannelCreated]: ...
    @overload
    def on(
        self, *categories: names.ChannelEntered, **wishes: Unpack[Wishes[ChannelEntered]]
    ) -> One[ChannelEntered]: ...
    @overload
    def on(
        self, *categories: names.ChannelExited, **wishes: Unpack[Wishes[ChannelExited]]
    ) -> One[ChannelExited]: ...
    @overload
    def on(
        self, *categories: names.ChannelFreezeChanged, **wishes: Unpack[Wishes[ChannelFreezeChanged]]
    ) -> One[ChannelFreezeChanged]: ...
    @overload
    def on(
        self, *categories: names.ChannelRemoved, **wishes: Unpack[Wishes[ChannelRemoved]]
    ) -> One[ChannelRemoved]: ...
    @overload
    def on(
        self, *categories: names.ChannelReported, **wishes: Unpack[Wishes[ChannelReported]]
    ) -> One[ChannelReported]: ...
    @overload
    def on(
        self, *categories: names.ImageBlocked, **wishes: Unpack[Wishes[ImageBlocked]]
    ) -> One[ImageBlocked]: ...
    @overload
    def on(
        self, *categories: names.InviteDeclined, **wishes: Unpack[Wishes[InviteDeclined]]
    ) -> One[InviteDeclined]: ...
    @overload
    def on(
        self, *categories: names.MembersInvited, **wishes: Unpack[Wishes[MembersInvited]]
    ) -> One[MembersInvited]: ...
    @overload
    def on(
        self, *categories: names.MembersJoined, **wishes: Unpack[Wishes[MembersJoined]]
    ) -> One[MembersJoined]: ...
    @overload
    def on(
        self, *categories: names.MembersLeft, **wishes: Unpack[Wishes[MembersLeft]]
    ) -> One[MembersLeft]: ...
    @overload
    def on(
        self, *categories: names.MessageDeleted, **wishes: Unpack[Wishes[MessageDeleted]]
    ) -> One[MessageDeleted]: ...
    @overload
    def on(
        self, *categories: names.MessageRead, **wishes: Unpack[Wishes[MessageRead]]
    ) -> One[MessageRead]: ...
    @overload
    def on(
        self, *categories: names.MessageReported, **wishes: Unpack[Wishes[MessageReported]]
    ) -> One[MessageReported]: ...
    @overload
    def on(
        self, *categories: names.MessageSent, **wishes: Unpack[Wishes[MessageSent]]
    ) -> One[MessageSent]: ...
    @overload
    def on(
        self, *categories: names.MessageUpdated, **wishes: Unpack[Wishes[MessageUpdated]]
    ) -> One[MessageUpdated]: ...
    @overload
    def on(
        self, *categories: names.ModerationTriggered, **wishes: Unpack[Wishes[ModerationTriggered]]
    ) -> One[ModerationTriggered]: ...
    @overload
    def on(
        self, *categories: names.NotificationEvent, **wishes: Unpack[Wishes[NotificationEvent]]
    ) -> One[NotificationEvent]: ...
    @overload
    def on(
        self, *categories: names.OperatorsRegistered, **wishes: Unpack[Wishes[OperatorsRegistered]]
    ) -> One[OperatorsRegistered]: ...
    @overload
    def on(
        self, *categories: names.OperatorsUnregistered, **wishes: Unpack[Wishes[OperatorsUnregistered]]
    ) -> One[OperatorsUnregistered]: ...
    @overload
    def on(
        self, *categories: names.ProfanityFiltered, **wishes: Unpack[Wishes[ProfanityFiltered]]
    ) -> One[ProfanityFiltered]: ...
    @overload
    def on(
        self, *categories: names.RateLimitExceeded, **wishes: Unpack[Wishes[RateLimitExceeded]]
    ) -> One[RateLimitExceeded]: ...
    @overload
    def on(
        self, *categories: names.ReactionAdded, **wishes: Unpack[Wishes[ReactionAdded]]
    ) -> One[ReactionAdded]: ...
    @overload
    def on(
        self, *categories: names.ReactionDeleted, **wishes: Unpack[Wishes[ReactionDeleted]]
    ) -> One[ReactionDeleted]: ...
    @overload
    def on(
        self, *categories: names.UserBlocked, **wishes: Unpack[Wishes[UserBlocked]]
    ) -> One[UserBlocked]: ...
    @overload
    def on(self, *categories: names.UserEvent, **wishes: Unpack[Wishes[UserEvent]]) -> One[UserEvent]: ...
    @overload
    def on(
        self, *categories: names.UserReported, **wishes: Unpack[Wishes[UserReported]]
    ) -> One[UserReported]: ...
    @overload
    def on(
        self, *categories: names.UserUnblocked, **wishes: Unpack[Wishes[UserUnblocked]]
    ) -> One[UserUnblocked]: ...
    @overload
    def on(
        self, one: K1, two: K2, /, **wishes: Unpack[Wishes[Any]]
    ) -> Takes[Of[K1], Of[K2], Of[K2], Of[K2]]: ...
    @overload
    def on(
        self, one: K1, two: K2, three: K3, /, **wishes: Unpack[Wishes[Any]]
    ) -> Takes[Of[K1], Of[K2], Of[K3], Of[K3]]: ...
    @overload
    def on(
        self, one: K1, two: K2, three: K3, four: K4, /, **wishes: Unpack[Wishes[Any]]
    ) -> Takes[Of[K1], Of[K2], Of[K3], Of[K4]]: ...
    @overload
    def on(
        self,
        one: Known,
        two: Known,
        three: Known,
        four: Known,
        /,
        *more: Known,
        **wishes: Unpack[Wishes[Any]],
    ) -> One[Any]: ...
    @overload
    def on(self, *categories: str, **wishes: Unpack[Wishes[Event]]) -> One[Event]: ...
    def on(self, *categories: str, **wishes: Any) -> Any:
        """Register the decorated function for events of `categories`.

        Args:
            categories: for example `"group_channel:message_send"`; `"group_channel:*"`; `"*"` for all.
            wishes:
                type: message types: MESG, FILE, ADMM.
                custom_type: the channel's custom types.
                sender: user ids of senders.
                where: called with the event; the handler is skipped when it returns False.
                name: the handler's name within the plugin; default: the function's.
                retries: attempts after the first that failed.
                timeout: seconds per attempt.
                concurrency: conversations that run at once, per drain.
                order: "conversation": a conversation's events run one after the other, and wait for one that
                    fails. None: none waits for another; `context.state()` can't be had then.

        Raises:
            PluginError: the function can't be called with (event, context), its name is taken, or an
                option is unknown or impossible.
        """
        return self._on(categories, wishes)

    def _on(self, categories: tuple[str, ...], wishes: Mapping[str, Any]) -> Any:
        raise NotImplementedError
