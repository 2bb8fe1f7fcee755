"""What of an event a test can say otherwise, by the names that the event's own fields have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, TypedDict

from receiver.events import Change, Event, File, Member, ReadUpdate
from receiver.events.bots import BotEvent, BotMessage
from receiver.events.channels import (
    ChannelChanged,
    ChannelCreated,
    MembershipEvent,
    MembersInvited,
    OperatorsEvent,
    ParticipantEvent,
)
from receiver.events.messages import MessageEvent, MessageRead, MessageUpdated, ReactionEvent
from receiver.events.moderation import MessageReported, ModerationEvent, ProfanityFiltered, ReportEvent
from receiver.events.notices import AnnouncementEvent, AnnouncementSent
from receiver.events.users import BlockEvent, UserEvent
from receiver.samples import assign
from receiver.testing import people
from receiver.testing.people import ChannelLike, UserLike

Json = dict[str, Any]


class Overrides(TypedDict, total=False):
    """Every name there is; which of them an event has is told by its class (see docs/testing.md)."""

    announcement_group: str
    announcement_id: str
    app_id: str
    blocked: UserLike
    blocker: UserLike
    bot: str | Mapping[str, Any]
    changes: Iterable[Change | Mapping[str, Any]]
    channel: ChannelLike
    custom_type: str
    data: str | Mapping[str, Any]
    description: str
    file: str | File | Mapping[str, Any]
    files: Iterable[str | File | Mapping[str, Any]]
    invitees: Iterable[UserLike]
    inviter: UserLike | None
    members: Iterable[UserLike | Member]
    mention_type: str
    mentioned: Iterable[str]
    mentioned_users: Iterable[UserLike]
    message_id: int
    offender: UserLike | None
    operators: Iterable[UserLike]
    original_text: str
    parent_message_id: int
    penalty: str
    reaction: str
    reason: str
    reporter: UserLike | None
    requester: UserLike | None
    sdk: str
    sender: UserLike | None
    silent: bool
    text: str | None
    translations: Mapping[str, str]
    updates: Iterable[UserLike | ReadUpdate]
    user: UserLike | None
    users: Iterable[UserLike]


class Options(Overrides, total=False):
    """What `make_event` takes: the fields, and how the event is made (see there)."""

    type: str
    case: str
    at: datetime
    received_at: datetime
    replay_of: str
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands in the body: at the first of `paths` that is there, else at the first.

    With `merges` the value's fields go into the object that stands there; with `everywhere` it goes to
    all of the paths.
    """

    paths: tuple[str, ...]
    write: Callable[[Any], Any] = lambda value: value
    merges: bool = False
    everywhere: bool = False

    def put(self, body: Json, value: Any) -> None:
        """Write `value` into `body`."""
        written = None if value is None else self.write(value)
        there = [path for path in self.paths if look(body, path) is not None]
        chosen = self.paths if self.everywhere else (there or self.paths)[:1]
        for path in chosen:
            if self.merges and written is not None:
                before = look(body, path)
                assign(body, path, (before if isinstance(before, dict) else {}) | written)
            else:
                assign(body, path, written)


_TEXT = Place(("payload.message", "message_text", "message"))

_PLACES: dict[type[Event], dict[str, Place]] = {
    Event: {
        "app_id": Place(("app_id",)),
        "channel": Place(("channel", "reported_message.channel"), people.channel, merges=True),
        "members": Place(("members",), people.members),
    },
    MessageEvent: {
        "custom_type": Place(("payload.custom_type", "custom_type"), everywhere=True),
        "data": Place(("payload.data",)),
        "file": Place(("payload",), people.file, merges=True),
        "mention_type": Place(("mention_type",)),
        "mentioned_users": Place(("mentioned_users",), people.users),
        "message_id": Place(("payload.message_id",)),
        "parent_message_id": Place(("parent_message_id",)),
        "sdk": Place(("sdk",)),
        "sender": Place(("sender",), people.user),
        "silent": Place(("silent",)),
        "text": Place(("payload.message",)),
        "translations": Place(("payload.translations",), dict),
    },
    MessageUpdated: {"changes": Place(("changes",), people.changes)},
    MessageRead: {"updates": Place(("read_updates",), people.updates)},
    ReactionEvent: {
        "message_id": Place(("message.message_id",)),
        "reaction": Place(("reaction",)),
        "user": Place(("user",), people.user),
    },
    BotEvent: {"bot": Place(("bot",), people.bot, merges=True)},
    BotMessage: {
        "data": Place(("message.data",)),
        "files": Place(("message.files",), people.files),
        "mentioned": Place(("mentioned",), list),
        "message_id": Place(("message.message_id",)),
        "sender": Place(("sender",), people.user),
        "text": Place(("message.text",)),
    },
    ChannelCreated: {
        "inviter": Place(("inviter",), people.user),
        "operators": Place(("operators",), people.users),
    },
    ChannelChanged: {"changes": Place(("changes",), people.changes)},
    ParticipantEvent: {"user": Place(("user",), people.user)},
    MembersInvited: {
        "invitees": Place(("invitees",), people.users),
        "inviter": Place(("inviter",), people.user),
    },
    MembershipEvent: {"users": Place(("users",), people.users)},
    OperatorsEvent: {
        "operators": Place(("operators",), people.users),
        "requester": Place(("requester",), people.user),
    },
    ReportEvent: {
        "description": Place(("report_description",)),
        "offender": Place(("offending_user",), people.user),
        "reason": Place(("report_category",)),
        "reporter": Place(("reporting_user",), people.user),
    },
    MessageReported: {
        "message_id": Place(("reported_message.payload.message_id",)),
        "text": Place(("reported_message.payload.message",)),
    },
    ModerationEvent: {
        "message_id": Place(("payload.message_id",)),
        "sender": Place(("sender", "user"), people.user),
        "text": _TEXT,
    },
    ProfanityFiltered: {
        "original_text": Place(("replaced_text",)),
        "penalty": Place(("moderation_action",)),
    },
    AnnouncementEvent: {
        "announcement_group": Place(("announcement_group",)),
        "announcement_id": Place(("announcement_id",)),
    },
    AnnouncementSent: {
        "message_id": Place(("message.message_id",)),
        "sender": Place(("sender",), people.user),
        "text": Place(("message.message",)),
    },
    UserEvent: {"user": Place(("user",), people.user)},
    BlockEvent: {
        "blocked": Place(("blockee", "unblockee"), people.user),
        "blocker": Place(("blocker", "unblocker"), people.user),
    },
}


def names(kind: type[Event]) -> list[str]:
    """Return what can be said otherwise of events of a class."""
    return sorted({name for one in kind.__mro__ for name in _PLACES.get(one, {})})


def apply(body: Json, kind: type[Event], given: Mapping[str, Any]) -> None:
    """Write what is given into `body`. Whoever sends is among the members, as on Sendbird.

    Raises:
        TypeError: events of this class have no such field.
    """
    places = {name: place for one in reversed(kind.__mro__) for name, place in _PLACES.get(one, {}).items()}
    read_at = next((one.get("read_ts") for one in body.get("read_updates") or ()), None)
    for name, value in given.items():
        if name not in places:
            raise TypeError(_unknown(name, kind, sorted(places)))
        places[name].put(body, value)
    for update in body.get("read_updates") or ():
        update.setdefault("read_ts", read_at)
    sender = body.get("sender")
    if "members" in given and isinstance(sender, dict) and "user_id" in sender:
        listed: list[Json] = body["members"] or []
        if sender["user_id"] not in {one["user_id"] for one in listed}:
            body["members"] = [people.member(sender), *listed]


def look(body: Any, path: str) -> Any:
    """Return what stands at a dotted path, or None."""
    for step in path.split("."):
        body = body.get(step) if isinstance(body, dict) else None
    return body


def milliseconds(at: datetime) -> int:
    """Return a time in milliseconds since the epoch.

    Raises:
        ValueError: it says no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"expected an aware datetime, such as datetime(2026, 1, 1, tzinfo=UTC), got {at!r}")
    return round(at.timestamp() * 1000)


def _unknown(name: str, kind: type[Event], known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return (
        f"{kind.__name__} has no {name!r}.{hint} There are: {', '.join(known)}; and type, case, at, "
        'received_at, replay_of, and raw={"a.path.of.the.body": value} for everything else.'
    )
