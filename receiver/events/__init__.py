"""Typed events, and the catalogue of what Sendbird sends."""

from receiver.events.batches import Batch
from receiver.events.bots import BotEvent, BotMessage
from receiver.events.catalogue import CATEGORIES, Category, open_event
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
from receiver.events.classifying import Classification, Unclassifiable, classify
from receiver.events.envelope import Envelope, Source
from receiver.events.event import Event, UnknownEvent
from receiver.events.members import Member
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
from receiver.events.values import BotIdentity, Change, Channel, File, Reaction, ReadUpdate, User

__all__ = [
    "CATEGORIES",
    "AnnouncementChannelsCreated",
    "AnnouncementSent",
    "Batch",
    "BotEvent",
    "BotIdentity",
    "BotMessage",
    "Category",
    "Change",
    "Channel",
    "ChannelChanged",
    "ChannelCreated",
    "ChannelEntered",
    "ChannelExited",
    "ChannelFreezeChanged",
    "ChannelRemoved",
    "ChannelReported",
    "Classification",
    "Envelope",
    "Event",
    "File",
    "ImageBlocked",
    "InviteDeclined",
    "Member",
    "MembersInvited",
    "MembersJoined",
    "MembersLeft",
    "MessageDeleted",
    "MessageRead",
    "MessageReported",
    "MessageSent",
    "MessageUpdated",
    "ModerationTriggered",
    "NotificationEvent",
    "OperatorsRegistered",
    "OperatorsUnregistered",
    "ProfanityFiltered",
    "RateLimitExceeded",
    "Reaction",
    "ReactionAdded",
    "ReactionDeleted",
    "ReadUpdate",
    "Source",
    "Unclassifiable",
    "UnknownEvent",
    "User",
    "UserBlocked",
    "UserEvent",
    "UserReported",
    "UserUnblocked",
    "classify",
    "open_event",
]
