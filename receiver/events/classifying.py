"""What the road has to know of a request, read from its parsed body: whatever that is, in any shape."""

from __future__ import annotations

from typing import Any, NamedTuple

from receiver.events import identity
from receiver.events.catalogue import ANYONE, CATEGORIES

LONGEST_CATEGORY = 200


class Unclassifiable(ValueError):
    """A body that no event can be made of. The message says what was expected, and nothing of the body."""


class Classification(NamedTuple):
    """What the road needs to know of a request.

    `conversation` is "" where the body names neither a channel nor a user (the event is its own then),
    `identity` is "" where the body carries none.
    """

    category: str
    conversation: str
    identity: str


_known = CATEGORIES.get


def classify(data: object) -> Classification:
    """Tell a request's category, conversation and identity from its parsed body.

    Raises:
        Unclassifiable: if the body is not an object with a usable `category`. Nothing else, whatever
            the values are.
    """
    if not isinstance(data, dict):
        raise Unclassifiable(f"expected a JSON object, got {_kind(data)}")
    name = data.get("category")
    if not isinstance(name, str):
        came = f"{_kind(name)} in it" if "category" in data else "none"
        raise Unclassifiable(
            f'expected a "category" that is a string, such as "group_channel:join"; got {came}'
        )
    known = _known(name)
    if known is None:
        _check(name)
        return Classification(name, _conversation(data, ANYONE), "")
    named = known.identify(data)
    if named:
        named = identity.shorten(f"{identity.piece(data.get('app_id'))}|{name}|{named}")
    return Classification(name, _conversation(data, known.about), named)


def _conversation(data: dict[str, Any], about: tuple[str, ...]) -> str:
    channel = data.get("channel")
    if not isinstance(channel, dict) and isinstance(reported := data.get("reported_message"), dict):
        channel = reported.get("channel")
    if isinstance(channel, dict):
        channel_url = channel.get("channel_url")
        if isinstance(channel_url, str) and channel_url:
            return identity.shorten(channel_url)
    for key in about:
        value = data.get(key)
        user_id = identity.piece(value.get("user_id") if isinstance(value, dict) else value)
        if user_id:
            return identity.shorten(user_id)
    return ""


def _check(name: str) -> None:
    """Refuse a category that could not be shown, logged or used as a label."""
    if not name or name.isspace():
        raise Unclassifiable('expected a "category" such as "group_channel:join", got an empty one')
    if len(name) > LONGEST_CATEGORY:
        raise Unclassifiable(
            f'expected a "category" of at most {LONGEST_CATEGORY} characters, got {len(name)} of them'
        )
    if not name.isprintable():
        raise Unclassifiable('expected a "category" of printable characters, got others among them')


def _kind(value: object) -> str:
    """Name a JSON value's kind; the value itself may be a secret."""
    kinds: dict[type, str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else "something else")
