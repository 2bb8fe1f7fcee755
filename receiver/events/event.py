"""What every event has."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, Literal

from receiver.events.envelope import Envelope
from receiver.events.fields import EPOCH, TIME_KEYS, first_moment, mapping, text
from receiver.events.members import Member
from receiver.events.parsing import parse
from receiver.events.values import Channel

ChannelKind = Literal["open", "group", ""]


class Event:
    """Something that happened on Sendbird. The body is parsed when it is first looked into.

    Fields that are missing, or of an unexpected type, have an empty value: reading an event raises
    nothing. What no field shows is in `raw`.
    """

    # Keys of nested objects that may hold the time when the top level does not.
    _inner: ClassVar[tuple[str, ...]] = ("payload", "message")

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} id={self.id!r} category={self.category!r} conversation={self.conversation!r}>"

    @property
    def id(self) -> str:
        """The event's id, given at intake: the same one on every attempt."""
        return self._envelope.id

    @property
    def category(self) -> str:
        """What happened, in Sendbird's words: "group_channel:message_send"."""
        return self._envelope.category

    @property
    def conversation(self) -> str:
        """The channel's URL, else the user's id, else the event's own id. Order is kept within it."""
        return self._envelope.conversation

    @property
    def received_at(self) -> datetime:
        """When the request came in (UTC)."""
        return EPOCH + timedelta(milliseconds=self._envelope.received)

    @property
    def replay_of(self) -> str | None:
        """The id of the event that this one replays (`receiver replay`); None where it isn't a replay."""
        return self._envelope.replay_of

    @cached_property
    def raw(self) -> dict[str, Any]:
        """The parsed JSON, without the bot's token: it proved the origin and has no use after that."""
        data = mapping(parse(self._envelope.body))
        mapping(data.get("bot")).pop("bot_token", None)
        return data

    def forget(self) -> None:
        """Let go of the parsed body, such as one of many. It is parsed again when it is looked into."""
        for one in type(self).__mro__:
            for name, value in vars(one).items():
                if isinstance(value, cached_property):
                    vars(self).pop(name, None)

    @property
    def app_id(self) -> str:
        """The application's id, or ""."""
        return text(self.raw.get("app_id"))

    @property
    def occurred_at(self) -> datetime | None:
        """When it happened (UTC), by Sendbird's clock. None where the body carries no time."""
        found = first_moment(self.raw, TIME_KEYS)
        if found is None:
            for key in self._inner:
                found = found or first_moment(mapping(self.raw.get(key)), TIME_KEYS)
        return found

    @cached_property
    def channel(self) -> Channel:
        """The channel; its `channel_url` is "" where the event is about none."""
        return Channel.read(self.raw.get("channel"))

    @property
    def channel_kind(self) -> ChannelKind:
        """Which kind of channel: the category says so, else `channel_type`, else ""."""
        for told in (self.category.removeprefix("bot_event/"), text(self.raw.get("channel_type"))):
            if told.startswith("open_channel"):
                return "open"
            if told.startswith("group_channel"):
                return "group"
        return ""

    @property
    def members_included(self) -> bool:
        """Whether members were sent. They are not by default, and never for supergroups."""
        return isinstance(self.raw.get("members"), list)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """The channel's members, the sender among them; empty when they were not sent."""
        return Member.read_all(self.raw.get("members"))


class UnknownEvent(Event):
    """An event of a category that has no type here: Sendbird adds new ones."""
