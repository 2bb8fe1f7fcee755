"""What Sendbird tells a bot by its callback URL. Bots work in group channels only."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from typing import Any

from receiver.events.event import ChannelKind, Event
from receiver.events.fields import document, items, mapping, moment, text, whole
from receiver.events.values import BotIdentity, File, User


class BotEvent(Event):
    """A callback to a bot. Itself the type of `bot_event/...`, whose shape is not confirmed: see `raw`."""

    @cached_property
    def bot(self) -> BotIdentity:
        """The bot that it is for; `userid` is "" where none was sent."""
        return BotIdentity.read(self.raw.get("bot"))

    @property
    def channel_kind(self) -> ChannelKind:
        """Always a group channel."""
        return "group"


class BotMessage(BotEvent):
    """A message meant for a bot."""

    bots: Collection[str] = frozenset()
    """User ids that are known to be bots. Set by the runtime."""

    @property
    def from_bot(self) -> bool:
        """Whether a bot sent it, as far as bots are known."""
        return self.sender.user_id in self.bots

    @property
    def _message(self) -> dict[str, Any]:
        return mapping(self.raw.get("message"))

    @property
    def message_id(self) -> int | None:
        """The message's id. None in the shape of 2016."""
        return whole(self._message.get("message_id"))

    @property
    def text(self) -> str:
        """What was written."""
        return text(self._message.get("text"))

    @property
    def data(self) -> str:
        """The application's own data with the message; as JSON text where an object was sent."""
        return document(self._message.get("data"))

    @cached_property
    def files(self) -> tuple[File, ...]:
        """The files that were sent along."""
        entries = items(self._message.get("files"))
        return tuple(file for entry in entries if (file := File.read(entry)) is not None)

    @cached_property
    def sender(self) -> User:
        """Who wrote; its `user_id` is "" where nobody was named."""
        return User.read(self.raw.get("sender")) or User("")

    @cached_property
    def mentioned(self) -> tuple[str, ...]:
        """The ids of those who are mentioned."""
        return tuple(user.user_id for user in User.read_all(self.raw.get("mentioned")))

    @property
    def sent_at(self) -> datetime | None:
        """When it was sent (UTC). Callbacks can arrive out of order: this is what to sort by."""
        return moment(self.raw.get("ts")) or moment(self._message.get("created_at"))
