"""Reading JSON whose types drift: each function takes anything and raises nothing.

Sendbird has been seen to send booleans as strings and ints, ids as strings, and a channel's `data` as an
object; so a wrong type is read as what it means, and what means nothing is read as the empty value.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The key varies by category; which one a category uses is Sendbird's to change.
TIME_KEYS = (
    "ts",
    "created_at",
    "changed_at",
    "updated_at",
    "removed_at",
    "deleted_at",
    "requested_at",
    "blocked_at",
    "moderated_at",
    "invited_at",
    "joined_at",
    "left_at",
    "entered_at",
    "exited_at",
    "declined_invite_at",
)

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off", ""})
_LONGEST_INT = 1 << 64
# Between them lie 1973 to 5138 in milliseconds; below them the same years in seconds.
_MILLISECONDS_FROM, _MILLISECONDS_TO = 10**11, 10**14


def text(value: object) -> str:
    """Return a string; ids sent as numbers too. Anything else is ""."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -_LONGEST_INT < value < _LONGEST_INT:
        return str(value)
    return ""


def first_text(values: Iterable[object]) -> str:
    """Return the first of `values` that reads as a non-empty string, or ""."""
    for value in values:
        if found := text(value):
            return found
    return ""


def document(value: object) -> str:
    """Return a `data` field: a string as it is, an object or a list as JSON text. Anything else is ""."""
    if isinstance(value, dict | list):
        try:
            return orjson.dumps(value).decode()
        except orjson.JSONEncodeError:  # nested deeper than orjson writes, though it reads it
            return ""
    return text(value)


def whole(value: object) -> int | None:
    """Return an int, also from "12" and 12.0. Anything else is None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and len(value) <= 20:
        digits = value.removeprefix("-")
        return int(value) if digits.isascii() and digits.isdigit() else None
    return None


def count(value: object) -> int:
    """Return an int as `whole` reads it, or 0."""
    return value if type(value) is int else whole(value) or 0  # the usual case first: members have many


def flag(value: object, *, default: bool = False) -> bool:
    """Return a boolean, also from 1, "true" and "1". What is neither true nor false is `default`."""
    if value is True or value is False:
        return value
    if isinstance(value, int):
        return value != 0
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    return default


def moment(value: object) -> datetime | None:
    """Return a time (UTC) from seconds or milliseconds since the epoch, told apart by magnitude."""
    number = whole(value)
    if number is None and isinstance(value, float) and 0 < value < _MILLISECONDS_FROM:
        number = int(value * 1000)
    if number is None or not 0 < number < _MILLISECONDS_TO:
        return None
    if number < _MILLISECONDS_FROM:
        number *= 1000
    return EPOCH + timedelta(milliseconds=number)


def first_moment(source: dict[str, Any], keys: Iterable[str]) -> datetime | None:
    """Return the time under the first of `keys` that holds one."""
    for key in keys:
        if key in source and (found := moment(source[key])) is not None:
            return found
    return None


def mapping(value: object) -> dict[str, Any]:
    """Return an object, or {}."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """Return an array, or []."""
    return value if isinstance(value, list) else []
