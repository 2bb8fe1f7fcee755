"""Messages, in open and group channels: sent, changed, deleted, read, reacted to."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from typing import Any

from receiver.events.event import Event
from receiver.events.fields import (
    document,
    first_moment,
    first_text,
    flag,
    items,
    mapping,
    moment,
    text,
    whole,
)
from receiver.events.values import Change, File, Reaction, ReadUpdate, User


class MessageEvent(Event):
    """What events about one message share."""

    bots: Collection[str] = frozenset()
    """User ids that are known to be bots. Set by the runtime."""

    @property
    def from_bot(self) -> bool:
        """Whether a bot sent it, as far as bots are known."""
        return self.sender is not None and self.sender.user_id in self.bots

    @property
    def _payload(self) -> dict[str, Any]:
        return mapping(self.raw.get("payload"))

    @property
    def type(self) -> str:
        """ "MESG" (text), "FILE" or "ADMM" (by an admin or the server, without a sender)."""
        return first_text((self.raw.get("type"), self._payload.get("type")))

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.type == "FILE"

    @property
    def is_admin(self) -> bool:
        """Whether it is an admin message. Those have no sender."""
        return self.type == "ADMM"

    @property
    def message_id(self) -> int | None:
        """The message's id (beyond 2^32). None in the shape of 2016."""
        return whole(self._payload.get("message_id"))

    @property
    def sent_at(self) -> datetime | None:
        """When the message itself was sent (UTC), whatever happened to it since; None if that is not told."""
        return moment(self._payload.get("created_at"))

    @property
    def text(self) -> str:
        """What was written; "" for a file."""
        return text(self._payload.get("message"))

    @property
    def data(self) -> str:
        """The application's own data with the message; as JSON text where an object was sent."""
        return document(self._payload.get("data"))

    @property
    def custom_type(self) -> str:
        """The application's own type of message, or ""."""
        return first_text((self._payload.get("custom_type"), self.raw.get("custom_type")))

    @property
    def translations(self) -> dict[str, str]:
        """The text by language code; "" where a translation is not ready."""
        return {
            language: text(translation)
            for language, translation in mapping(self._payload.get("translations")).items()
        }

    @cached_property
    def file(self) -> File | None:
        """The file, if the message is one."""
        if not self.is_file:
            return None
        return File.read(self._payload.get("file")) or File.read(self._payload)

    @cached_property
    def sender(self) -> User | None:
        """Who sent it. None for admin messages."""
        return User.read(self.raw.get("sender"))

    @property
    def mention_type(self) -> str:
        """ "users", "channel" or ""."""
        return first_text((self.raw.get("mention_type"), self._payload.get("mention_type")))

    @cached_property
    def mentioned_users(self) -> tuple[User, ...]:
        """Who is mentioned by name."""
        return User.read_all(self.raw.get("mentioned_users")) or User.read_all(
            self._payload.get("mentioned_users")
        )

    @property
    def parent_message_id(self) -> int | None:
        """The message that this one replies to, or None."""
        for place in (self.raw, self._payload):
            if parent := whole(place.get("parent_message_id")):
                return parent
        return None

    @property
    def silent(self) -> bool:
        """Whether it was sent without a push notification."""
        return flag(self.raw.get("silent"))

    @property
    def sdk(self) -> str:
        """What it was sent with: "iOS", "Android", "JavaScript", "API", ... or ""."""
        return text(self.raw.get("sdk"))


class MessageSent(MessageEvent):
    """A message was sent. (The only category of 2016; its shape has drifted since, see docs/sendbird.md.)"""


class MessageUpdated(MessageEvent):
    """A message was edited. The fields hold the message as it is now."""

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What was changed, where Sendbird says so."""
        return Change.read_all(self.raw.get("changes"))

    @property
    def occurred_at(self) -> datetime | None:
        """When it was edited, else when it was sent."""
        for place in (self._payload, self.raw):
            if found := moment(place.get("updated_at")):
                return found
        return super().occurred_at


class MessageDeleted(MessageEvent):
    """A message was deleted. What it said may still be in the fields."""

    @property
    def occurred_at(self) -> datetime | None:
        """When it was deleted, where Sendbird says so; when the message was sent is no answer."""
        for place in (self.raw, self._payload):
            if found := first_moment(place, ("deleted_at", "removed_at", "ts")):
                return found
        return None


class MessageRead(Event):
    """Members have read a group channel to its end."""

    @cached_property
    def updates(self) -> tuple[ReadUpdate, ...]:
        """Who has read, and until when."""
        entries = items(self.raw.get("read_updates"))
        return tuple(update for entry in entries if (update := ReadUpdate.read(entry)) is not None)

    @property
    def occurred_at(self) -> datetime | None:
        """The latest of the updates' times."""
        return max((update.read_at for update in self.updates if update.read_at), default=None)


class ReactionEvent(Event):
    """What both reaction events share."""

    _inner = ()  # the message's time is not the reaction's

    @cached_property
    def reaction(self) -> Reaction:
        """The reaction: its key, its message, its user and its time."""
        return Reaction(
            key=text(self.raw.get("reaction")),
            message_id=self.message_id,
            user=self.user,
            at=self.occurred_at,
        )

    @cached_property
    def user(self) -> User | None:
        """Who reacted."""
        return User.read(self.raw.get("user"))

    @property
    def message_id(self) -> int | None:
        """The message that was reacted to."""
        return whole(mapping(self.raw.get("message")).get("message_id"))


class ReactionAdded(ReactionEvent):
    """A user added a reaction to a message."""


class ReactionDeleted(ReactionEvent):
    """A user took a reaction back."""
