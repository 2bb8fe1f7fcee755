"""The application's webhook: what happens, in today's payloads, to one URL.

Shapes: Platform API v3, "Webhooks: events", and the facts of docs/sendbird.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from receiver.sandbox import views
from receiver.sandbox.delivery import Delivery
from receiver.sandbox.model import Channel, Message
from receiver.sandbox.store import Store
from receiver.sandbox.views import Json
from receiver.sandbox.world import Occurrence, World

CATEGORIES = (
    *(f"open_channel:{name}" for name in ("create", "remove", "enter", "exit")),
    *(f"open_channel:{name}" for name in ("message_send", "message_update", "message_delete")),
    *(f"group_channel:{name}" for name in ("create", "changed", "remove", "invite", "join", "leave")),
    *(f"group_channel:{name}" for name in ("message_send", "message_read", "message_update")),
    "group_channel:message_delete",
    "user:block",
    "user:unblock",
)


@dataclass(slots=True)
class WebhookSettings:
    """The webhook page of the dashboard. `enabled_events` are categories; `*` is all of them."""

    enabled: bool = False
    url: str = ""
    include_members: bool = True
    enabled_events: list[str] = field(default_factory=lambda: ["*"])


class Webhooks:
    """Tells the webhook's URL what happened."""

    def __init__(
        self, world: World, store: Store, delivery: Delivery, app_id: str, settings: WebhookSettings
    ) -> None:
        self._world = world
        self._store = store
        self._delivery = delivery
        self._app_id = app_id
        stored = next(store.all("webhook"), None)
        # What the sandbox was started with goes before what was set in an earlier life.
        self.settings = settings if settings.url or not stored else WebhookSettings(**stored)

    def change(self, settings: WebhookSettings) -> None:
        """Use and keep other settings."""
        self.settings = settings
        self._store.put("webhook", "webhook", asdict(settings))

    def heard(self, occurrence: Occurrence) -> None:
        """Post an occurrence, if the settings want it."""
        settings = self.settings
        if not (settings.enabled and settings.url) or occurrence.category not in CATEGORIES:
            return
        if "*" in settings.enabled_events or occurrence.category in settings.enabled_events:
            self._delivery.post("webhook", settings.url, self.payload(occurrence))

    def payload(self, occurrence: Occurrence) -> Json:
        """Return an occurrence as Sendbird writes it."""
        channel, message = occurrence.channel, occurrence.message
        payload: Json = {"category": occurrence.category}
        if channel and channel.kind == "group" and self.settings.include_members:
            payload["members"] = members(self._world, channel, message)
        payload |= occurrence.details
        if message:
            payload |= self._message(message)
        if channel:
            payload["channel"] = _channel(channel)
        return payload | {"app_id": self._app_id}

    def _message(self, message: Message) -> Json:
        fields: Json = {
            "type": message.type,
            "custom_type": message.custom_type,
            "payload": _content(message),
            "silent": message.silent,
            "mention_type": message.mention_type,
            "mentioned_users": views.mentioned(self._world, message),
            "parent_message_id": 0,
            "sdk": "API",
            "sender_ip_addr": "127.0.0.1",
            "message_events": {
                "send_push_notification": "receivers",
                "update_unread_count": not message.silent,
                "update_mention_count": True,
                "update_last_message": not message.silent,
            },
        }
        if message.sender_id is not None:
            fields["sender"] = views.sender(self._world, message.sender_id)
        return fields


def _content(message: Message) -> Json:
    content: Json = {
        "message_id": message.message_id,
        "created_at": message.created_at,
        "custom_type": message.custom_type,
        "data": message.data,
    }
    if message.updated_at:
        content["updated_at"] = message.updated_at
    if file := message.file:
        return content | {
            "url": file.url,
            "filename": file.name,
            "content_type": file.type,
            "content_size": file.size,
        }
    content["message"] = message.message
    if message.type == "MESG":
        content["translations"] = {}
    return content


def _channel(channel: Channel) -> Json:
    return {
        "channel_url": channel.channel_url,
        "name": channel.name,
        "custom_type": channel.custom_type,
        "data": channel.data,
        "is_distinct": channel.is_distinct,
        "is_public": False,
        "is_super": False,
        "is_ephemeral": False,
        "is_discoverable": False,
    }


def members(world: World, channel: Channel, message: Message | None = None) -> list[Json]:
    """Return a group channel's members as webhooks show them, the sender among them."""
    sender = world.users.get(message.sender_id) if message and message.sender_id else None
    found = []
    for member in channel.members.values():
        user = world.users[member.user_id]
        fields: dict[str, Any] = {
            **views.brief(user),
            "is_active": user.is_active,
            "is_online": user.is_online,
            "is_hidden": 0,
            "state": "joined",
            "unread_message_count": member.unread,
            "channel_unread_message_count": member.unread,
            "total_unread_message_count": world.unread_of(user.user_id),
            "channel_mention_count": member.mentions,
            "push_enabled": True,
            "push_trigger_option": "default",
            "do_not_disturb": False,
        }
        if sender:
            fields["is_blocking_sender"] = sender.user_id in user.blocks
            fields["is_blocked_by_sender"] = user.user_id in sender.blocks
        found.append(fields)
    return found
