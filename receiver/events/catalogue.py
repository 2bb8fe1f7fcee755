"""Every category that Sendbird is known to send, and the type of event that it has.

The names are strings and not an enum: Sendbird adds new ones, and an unknown one is no error. (Sendbird,
Chat Platform API, "Webhooks: events"; the two of 2016 are in its v3 API, "Webhooks".)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from receiver.events import identity
from receiver.events.batches import Batch
from receiver.events.bots import BotEvent, BotMessage
from receiver.events.channels import (
    ChannelChanged,
    ChannelCreated,
    ChannelEntered,
    ChannelExited,
    ChannelFreezeChanged,
    ChannelRemoved,
    InviteDeclined,
    MembersInvited,
    MembersJoined,
    MembersLeft,
    OperatorsRegistered,
    OperatorsUnregistered,
)
from receiver.events.envelope import BATCH, Envelope, Source
from receiver.events.event import Event, UnknownEvent
from receiver.events.messages import (
    MessageDeleted,
    MessageRead,
    MessageSent,
    MessageUpdated,
    ReactionAdded,
    ReactionDeleted,
)
from receiver.events.moderation import (
    ChannelReported,
    ImageBlocked,
    MessageReported,
    ModerationTriggered,
    ProfanityFiltered,
    UserReported,
)
from receiver.events.notices import AnnouncementChannelsCreated, AnnouncementSent, NotificationEvent
from receiver.events.users import RateLimitExceeded, UserBlocked, UserEvent, UserUnblocked

MESSAGE_TYPES = ("MESG", "FILE", "ADMM")
ANYONE = ("sender", "user", "user_id", "blocker", "unblocker", "offending_user", "reporting_user")
"""The keys under which a body may name a user."""


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of event.

    `identify` names what happened (see `receiver.events.identity`). `about` are the keys under which the
    user stands who is the conversation where there is no channel. `types` are those a message can have.
    """

    name: str
    summary: str
    event: type[Event]
    identify: identity.Identify = identity.none
    about: tuple[str, ...] = ANYONE
    types: tuple[str, ...] = ()
    source: Source = "webhook"


_BLOCKS = ("blocker", "unblocker")
_REPORTS = ("offending_user", "reporting_user")

_ALL = (
    Category("open_channel:create", "An open channel was created.", ChannelCreated, identity.timed),
    Category("open_channel:remove", "An open channel was removed.", ChannelRemoved, identity.timed),
    Category("open_channel:enter", "A user entered an open channel.", ChannelEntered, identity.timed),
    Category("open_channel:exit", "A user left an open channel.", ChannelExited, identity.timed),
    Category(
        "open_channel:message_send",
        "A message was sent to an open channel.",
        MessageSent,
        identity.message,
        types=MESSAGE_TYPES,
    ),
    Category(
        "open_channel:message_update",
        "A message in an open channel was edited.",
        MessageUpdated,
        identity.edit,
        types=MESSAGE_TYPES,
    ),
    Category(
        "open_channel:message_delete",
        "A message in an open channel was deleted.",
        MessageDeleted,
        identity.message,
        types=MESSAGE_TYPES,
    ),
    Category("open_channel:report", "A user reported an open channel.", ChannelReported, about=_REPORTS),
    Category("group_channel:create", "A group channel was created.", ChannelCreated, identity.timed),
    Category(
        "group_channel:changed",
        "A group channel's name, cover or data was changed.",
        ChannelChanged,
        identity.timed,
    ),
    Category("group_channel:remove", "A group channel was removed.", ChannelRemoved, identity.timed),
    Category(
        "group_channel:invite", "Users were invited to a group channel.", MembersInvited, identity.timed
    ),
    Category("group_channel:decline_invite", "Users declined an invitation.", InviteDeclined, identity.timed),
    Category("group_channel:join", "Users joined a group channel.", MembersJoined, identity.timed),
    Category("group_channel:leave", "Users left a group channel.", MembersLeft, identity.timed),
    Category(
        "group_channel:message_send",
        "A message was sent to a group channel.",
        MessageSent,
        identity.message,
        types=MESSAGE_TYPES,
    ),
    Category(
        "group_channel:message_read",
        "Members have read a group channel to its end.",
        MessageRead,
        identity.reading,
    ),
    Category(
        "group_channel:message_update",
        "A message in a group channel was edited.",
        MessageUpdated,
        identity.edit,
        types=MESSAGE_TYPES,
    ),
    Category(
        "group_channel:message_delete",
        "A message in a group channel was deleted.",
        MessageDeleted,
        identity.message,
        types=MESSAGE_TYPES,
    ),
    Category(
        "group_channel:freeze_unfreeze", "A group channel was frozen or unfrozen.", ChannelFreezeChanged
    ),
    Category(
        "group_channel:reaction_add",
        "A user added a reaction to a message.",
        ReactionAdded,
        identity.reaction,
    ),
    Category(
        "group_channel:reaction_delete",
        "A user took a reaction to a message back.",
        ReactionDeleted,
        identity.reaction,
    ),
    Category("group_channel:report", "A user reported a group channel.", ChannelReported, about=_REPORTS),
    Category("user:block", "A user blocked another one.", UserBlocked, about=_BLOCKS),
    Category("user:unblock", "A user unblocked another one.", UserUnblocked, about=_BLOCKS),
    Category("user:report", "A user reported another one.", UserReported, about=_REPORTS),
    Category("user:mute", "A user was muted.", UserEvent),
    Category("user:ban", "A user was banned.", UserEvent),
    Category("user:deactivate", "A user was deactivated.", UserEvent),
    Category("user:push_preference", "A user's push preferences were changed.", UserEvent),
    Category(
        "user:push_channel_preference", "A user's push preferences for one channel were changed.", UserEvent
    ),
    Category("user:device_token_register", "A device token of a user was registered.", UserEvent),
    Category("user:device_token_unregister", "A device token of a user was unregistered.", UserEvent),
    Category(
        "operators:register_by_operator",
        "An operator made others operators.",
        OperatorsRegistered,
        identity.timed,
        about=("requester",),
    ),
    Category(
        "operators:unregister_by_operator",
        "An operator took the role from others.",
        OperatorsUnregistered,
        identity.timed,
        about=("requester",),
    ),
    Category("message:report", "A user reported a message.", MessageReported, about=_REPORTS),
    Category(
        "message:moderation_extension_triggered",
        "A moderation extension acted on a message.",
        ModerationTriggered,
    ),
    Category(
        "profanity_filter:replace", "Words of a message were replaced.", ProfanityFiltered, identity.message
    ),
    Category(
        "profanity_filter:block", "A message was blocked for its words.", ProfanityFiltered, identity.timed
    ),
    Category(
        "profanity_filter:moderate",
        "A user was muted, kicked or banned for their words.",
        ProfanityFiltered,
        identity.timed,
    ),
    Category(
        "profanity_filter:detect",
        "Words were found in a message, and left.",
        ProfanityFiltered,
        identity.message,
    ),
    Category("image_moderation:block", "A message was blocked for its image.", ImageBlocked, identity.timed),
    Category(
        "alert:user_message_rate_limit_exceeded",
        "A user sent more messages than allowed.",
        RateLimitExceeded,
    ),
    Category(
        "announcement:create_channels",
        "Channels were created for an announcement.",
        AnnouncementChannelsCreated,
        identity.timed,
    ),
    Category(
        "announcement:send_messages",
        "An announcement was sent to a channel.",
        AnnouncementSent,
        identity.timed,
    ),
    Category("notification:send_realtime", "A real-time notification was requested.", NotificationEvent),
    Category("notification:send_batch", "A batch of notifications was requested.", NotificationEvent),
    Category("notification:template_create", "A template was created.", NotificationEvent),
    Category("notification:template_archive", "A template was archived.", NotificationEvent),
    Category(
        "notification:template_unarchive", "A template was taken out of the archive.", NotificationEvent
    ),
    Category("notification:template_edit", "A template was edited.", NotificationEvent),
    Category(
        "notification:template_approval_update", "A template's approval was changed.", NotificationEvent
    ),
    Category(
        "bot_message_notification",
        "A message for a bot was sent.",
        BotMessage,
        identity.bot_message,
        source="bot",
    ),
    # Seen in third-party code only.
    Category("bot_event/group_channel:join", "A bot joined a group channel.", BotEvent, source="bot"),
    Category("bot_event/group_channel:leave", "A bot left a group channel.", BotEvent, source="bot"),
)

CATEGORIES: Mapping[str, Category] = MappingProxyType({category.name: category for category in _ALL})

_known = CATEGORIES.get


def open_event(envelope: Envelope) -> Event:
    """Return the typed event: by category its class, `UnknownEvent` where none fits.

    The body is not parsed yet; that happens when the event is first looked into.
    """
    if envelope.source == BATCH:
        return Batch(envelope)
    known = _known(envelope.category)
    return known.event(envelope) if known is not None else UnknownEvent(envelope)
