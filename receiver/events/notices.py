"""Announcements in Chat, and Business Messaging's notifications."""

from __future__ import annotations

from functools import cached_property

from receiver.events.event import Event
from receiver.events.fields import mapping, text, whole
from receiver.events.values import User


class AnnouncementEvent(Event):
    """What both announcement events share."""

    @property
    def announcement_id(self) -> str:
        """Which announcement, or ""."""
        return text(self.raw.get("announcement_id"))

    @property
    def announcement_group(self) -> str:
        """The group it belongs to, or ""."""
        return text(self.raw.get("announcement_group"))


class AnnouncementChannelsCreated(AnnouncementEvent):
    """Channels were created for an announcement."""


class AnnouncementSent(AnnouncementEvent):
    """An announcement's message was sent to a channel."""

    @cached_property
    def sender(self) -> User | None:
        """In whose name it was sent."""
        return User.read(self.raw.get("sender"))

    @property
    def message_id(self) -> int | None:
        """The message's id."""
        return whole(mapping(self.raw.get("message")).get("message_id"))

    @property
    def text(self) -> str:
        """What it says."""
        return text(mapping(self.raw.get("message")).get("message"))


class NotificationEvent(Event):
    """A notification was sent, or its template changed. The shape is not confirmed: see `raw`."""
