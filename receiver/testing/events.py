"""Making events and requests: of the byte-exact samples, with what a test says otherwise.

An event is made the way a real one is: its body is signed, accepted by the intake, and opened.
"""

from __future__ import annotations

import functools
import itertools
import time
from typing import Any, Literal, NamedTuple, TypeVar, overload

import orjson
from typing_extensions import Unpack

from receiver import samples
from receiver.events import CATEGORIES, BotMessage, Envelope, Event, MessageSent, UnknownEvent
from receiver.events.catalogue import open_event
from receiver.intake import Intake, new_id
from receiver.samples import API_TOKEN, BOT_TOKEN
from receiver.sendbird import wire
from receiver.signature import sign
from receiver.testing.overrides import Json, Options, apply, milliseconds, names

E = TypeVar("E", bound=Event)
Kind = type[Event] | str
"""A class of events, or a category."""

_intake = Intake([API_TOKEN.encode()])
_find = functools.cache(samples.find)
_later = itertools.count()
_taken: set[int] = set()


class Request(NamedTuple):
    """What Sendbird sends: `httpx.post(url, headers=request.headers, content=request.body)`."""

    headers: dict[str, str]
    body: bytes


@overload
def make_event(kind: type[E], /, **options: Unpack[Options]) -> E: ...
@overload
def make_event(
    kind: Literal["group_channel:message_send", "open_channel:message_send"], /, **options: Unpack[Options]
) -> MessageSent: ...
@overload
def make_event(kind: Literal["bot_message_notification"], /, **options: Unpack[Options]) -> BotMessage: ...
@overload
def make_event(kind: str, /, **options: Unpack[Options]) -> Event: ...


def make_event(kind: Kind, /, **options: Any) -> Event:
    """Make an event: `make_event(MessageSent, text="hi", sender="ana", channel="c1")`.

    Each is another event, with a message id and times of its own.

    Args:
        kind: Its class, or its category. A class that several categories have stands for the one of
            group channels, else for the first; `UnknownEvent` for one that Sendbird may add.
        options: Fields of the event, by their names: `text`, `sender`, `channel`, `members`, ... A user is
            an id, a `User` or a dict; so is a channel. None for none. Further:

            - `type`: the message's type: MESG, FILE or ADMM.
            - `case`: which sample to begin with, such as "mesg-2016" (see fixtures/README.md).
            - `at`: when it happened (aware). Default: when it is received.
            - `received_at`: when it is received (aware). Default: now.
            - `replay_of`: the id of the event that it replays.
            - `raw`: values by their dotted paths in the body, written last: {"payload.message": "x"}.

    Raises:
        TypeError: events of this class have no such field.
        SampleNotFound: there is no such category, type or case.
        Rejected: with `raw`, the body is nothing that the receiver would accept.
    """
    received_at, replay_of = options.pop("received_at", None), options.pop("replay_of", None)
    received = time.time_ns() // 1_000_000 if received_at is None else milliseconds(received_at)
    event = open_body(_make_body(kind, received, options), received)
    if replay_of is None:
        return event
    return open_event(envelope_of(event)._replace(identity="", replay_of=replay_of))


def make_request(event: Event | Kind, /, *, token: str | None = None, **options: Unpack[Options]) -> Request:
    """Return the request that brings an event: its headers, and its body, byte for byte.

    Args:
        event: An event, or what `make_event` takes.
        token: The API token that signs a webhook, or a bot's token in its callback. Default: those of
            the samples, `API_TOKEN` and `BOT_TOKEN`.
        options: As for `make_event`.
    """
    body = envelope_of(given(event, **options)).body
    data = orjson.loads(body)
    is_callback = isinstance(data.get("bot"), dict)
    if is_callback and token is not None:
        samples.assign(data, "bot.bot_token", token)
        body = wire.encode(data)
    return Request(wire.headers(body, API_TOKEN if is_callback or token is None else token), body)


def given(event: Event | Kind, **options: Any) -> Event:
    """Return an event as it is, or make one.

    Raises:
        TypeError: there are options for an event that is made already.
    """
    if not isinstance(event, Event):
        return make_event(event, **options)
    if options:
        raise TypeError(f"an event is what it is: {', '.join(options)} goes with a class or a category")
    return event


def _make_body(kind: Kind, received: int, options: dict[str, Any]) -> Json:
    category = kind if isinstance(kind, str) else category_of(kind)
    event = class_of(category)
    wanted, case, at, raw = (options.pop(name, None) for name in ("type", "case", "at", "raw"))
    if wanted is None and "file" in options and "file" in names(event):
        wanted = "FILE"
    body = _find(category, wanted, case).payload
    renew(body, received if at is None else milliseconds(at), unique=at is None)
    apply(body, event, options)
    for path, value in (raw or {}).items():
        samples.assign(body, path, value)
    return body


def open_body(body: Json, received: int) -> Event:
    """Return the event that the receiver makes of `body`, received at `received` (ms).

    Raises:
        Rejected: the receiver would not accept it.
    """
    content = wire.encode(body)
    bot = body.get("bot")
    if isinstance(bot, dict) and "bot_token" in bot:
        claim = _intake.bot_claim(content)
        envelope = _intake.bot_callback(claim, claim.token)
    else:
        envelope = _intake.webhook(sign(API_TOKEN.encode(), content), content)
    event_id = new_id(received)
    conversation = event_id if envelope.conversation == envelope.id else envelope.conversation
    return open_event(envelope._replace(id=event_id, received=received, conversation=conversation))


def envelope_of(event: Event) -> Envelope:
    """Return the envelope in which an event came."""
    return event._envelope


def class_of(kind: Kind) -> type[Event]:
    """Return the class of a category's events."""
    if not isinstance(kind, str):
        return kind
    known = CATEGORIES.get(kind)
    return known.event if known else UnknownEvent


def category_of(kind: type[Event]) -> str:
    """Return the category for which a class stands.

    Raises:
        TypeError: no category has events of this class.
    """
    found = [name for name, category in CATEGORIES.items() if category.event is kind]
    if kind is UnknownEvent:
        found = [sample.category for sample in samples.load_all() if sample.category not in CATEGORIES]
    if not found:
        raise TypeError(
            f"no category has events of {kind!r}: give a class such as MessageSent, or a category"
        )
    return next((name for name in found if name.startswith("group_channel:")), found[0])


def renew(body: Json, at: int, *, unique: bool = True) -> None:
    """Make `body` another event, with a message id of its own, that happens at about `at` (ms)."""
    samples.refresh(body, _unique(at) if unique else at)
    _renumber(body)


def _unique(at: int) -> int:
    """Return a time (ms) at or after `at` at which nothing else happened: equal ones name the same event."""
    while at in _taken or at % 1000 == 0:
        at += 1
    _taken.add(at)
    return at


def _renumber(body: Json) -> None:
    """Give the message an id that no other one has, though they are made in the same millisecond."""
    later = next(_later)
    for key in ("payload", "message"):
        place = body.get(key)
        if isinstance(place, dict) and isinstance(place.get("message_id"), int):
            place["message_id"] += later


__all__ = ["API_TOKEN", "BOT_TOKEN", "Request", "make_event", "make_request"]
