"""Which categories have which type of event, for type checkers: the catalogue as literals.

Each is called like the type of the event, and holds its categories. (tests/test_registration.py compares
them with the catalogue.)
"""

from __future__ import annotations

from typing import Literal

AnnouncementChannelsCreated = Literal["announcement:create_channels"]
AnnouncementSent = Literal["announcement:send_messages"]
BotEvent = Literal["bot_event/group_channel:join", "bot_event/group_channel:leave"]
BotMessage = Literal["bot_message_notification"]
ChannelChanged = Literal["group_channel:changed"]
ChannelCreated = Literal["open_channel:create", "group_channel:create"]
ChannelEntered = Literal["open_channel:enter"]
ChannelExited = Literal["open_channel:exit"]
ChannelFreezeChanged = Literal["group_channel:freeze_unfreeze"]
ChannelRemoved = Literal["open_channel:remove", "group_channel:remove"]
ChannelReported = Literal["open_channel:report", "group_channel:report"]
ImageBlocked = Literal["image_moderation:block"]
InviteDeclined = Literal["group_channel:decline_invite"]
MembersInvited = Literal["group_channel:invite"]
MembersJoined = Literal["group_channel:join"]
MembersLeft = Literal["group_channel:leave"]
MessageDeleted = Literal["open_channel:message_delete", "group_channel:message_delete"]
MessageRead = Literal["group_channel:message_read"]
MessageReported = Literal["message:report"]
MessageSent = Literal["open_channel:message_send", "group_channel:message_send"]
MessageUpdated = Literal["open_channel:message_update", "group_channel:message_update"]
ModerationTriggered = Literal["message:moderation_extension_triggered"]
NotificationEvent = Literal[
    "notification:send_realtime",
    "notification:send_batch",
    "notification:template_create",
    "notification:template_archive",
    "notification:template_unarchive",
    "notification:template_edit",
    "notification:template_approval_update",
]
OperatorsRegistered = Literal["operators:register_by_operator"]
OperatorsUnregistered = Literal["operators:unregister_by_operator"]
ProfanityFiltered = Literal[
    "profanity_filter:replace",
    "profanity_filter:block",
    "profanity_filter:moderate",
    "profanity_filter:detect",
]
RateLimitExceeded = Literal["alert:user_message_rate_limit_exceeded"]
ReactionAdded = Literal["group_channel:reaction_add"]
ReactionDeleted = Literal["group_channel:reaction_delete"]
UserBlocked = Literal["user:block"]
UserEvent = Literal[
    "user:mute",
    "user:ban",
    "user:deactivate",
    "user:push_preference",
    "user:push_channel_preference",
    "user:device_token_register",
    "user:device_token_unregister",
]
UserReported = Literal["user:report"]
UserUnblocked = Literal["user:unblock"]

Known = Literal[
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
]
