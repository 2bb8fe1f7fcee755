"""Reports by users, and what filters and moderators did."""

from __future__ import annotations

from functools import cached_property

from receiver.events.event import Event
from receiver.events.fields import first_text, mapping, text, whole
from receiver.events.values import Channel, User


class ReportEvent(Event):
    """What all reports share."""

    @property
    def reason(self) -> str:
        """Sendbird's `report_category`: "suspicious", "harassing", "inappropriate", "spam", ... or ""."""
        return text(self.raw.get("report_category"))

    @property
    def description(self) -> str:
        """What the reporting user wrote, or ""."""
        return text(self.raw.get("report_description"))

    @cached_property
    def reporter(self) -> User | None:
        """Who reports."""
        return User.read(self.raw.get("reporting_user"))

    @cached_property
    def offender(self) -> User | None:
        """Who is reported, where the report is about a user or a user's message."""
        return User.read(self.raw.get("offending_user"))


class ChannelReported(ReportEvent):
    """A user reported an open or group channel."""


class UserReported(ReportEvent):
    """A user reported another one."""


class MessageReported(ReportEvent):
    """A user reported a message."""

    @cached_property
    def channel(self) -> Channel:
        """The message's channel."""
        nested = mapping(self.raw.get("reported_message")).get("channel")
        return Channel.read(self.raw.get("channel") or nested)

    @property
    def message_id(self) -> int | None:
        """The reported message."""
        reported = mapping(self.raw.get("reported_message"))
        return whole(mapping(reported.get("payload")).get("message_id", reported.get("message_id")))

    @property
    def text(self) -> str:
        """What the reported message says, or ""."""
        reported = mapping(self.raw.get("reported_message"))
        return first_text((mapping(reported.get("payload")).get("message"), reported.get("message")))


class ModerationEvent(Event):
    """What filters' and moderators' events share."""

    @cached_property
    def sender(self) -> User | None:
        """Whose message it was."""
        return User.read(self.raw.get("sender")) or User.read(self.raw.get("user"))

    @property
    def message_id(self) -> int | None:
        """The message, where it was sent nevertheless."""
        for place in (self.raw.get("payload"), self.raw.get("message")):
            if found := whole(mapping(place).get("message_id")):
                return found
        return None

    @property
    def text(self) -> str:
        """The message as it was sent, or as it was blocked."""
        payload = mapping(self.raw.get("payload"))
        return first_text((payload.get("message"), self.raw.get("message"), self.raw.get("message_text")))


class ProfanityFiltered(ModerationEvent):
    """The profanity filter found something; what it did is `action`."""

    @property
    def action(self) -> str:
        """ "replace", "block", "moderate" or "detect"."""
        return self.category.partition(":")[2]

    @property
    def original_text(self) -> str:
        """What the user wrote, where the filter replaced words."""
        return text(self.raw.get("replaced_text"))

    @property
    def penalty(self) -> str:
        """ "mute", "kick" or "ban", where the user was moderated."""
        return text(self.raw.get("moderation_action"))


class ImageBlocked(ModerationEvent):
    """Image moderation blocked a message."""


class ModerationTriggered(ModerationEvent):
    """A moderation extension acted on a message. Its further shape is not confirmed: see `raw`."""
