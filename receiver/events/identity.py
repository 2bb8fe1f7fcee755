"""What names the thing that happened, so that a repeated request is known for what it is.

Every function takes the parsed body and returns a name, or "" where the body carries none: it is better
to handle an event twice than to lose one. Users choose their ids, channel URLs and reaction keys, so
these stand last or with their length before them: nobody can make one event look like another.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import orjson

from receiver.events.fields import TIME_KEYS

LONGEST = 200
_LARGEST_INT = 1 << 64
_MILLISECONDS_FROM = 10**11

Identify = Callable[[dict[str, Any]], str]


def piece(value: object) -> str:
    """Return a string or an int as a string, and "" for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST_INT < value < _LARGEST_INT:
        return str(value)
    return ""


def number(value: object) -> str:
    """Return an id or a time as a string, and "" where there is none: 0 is neither."""
    found = piece(value)
    return found if found != "0" else ""


def inner(data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the object under `key`, or {}."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def shorten(name: str) -> str:
    """Return `name`, or its hash where it is too long to be kept a million times."""
    if len(name) <= LONGEST:
        return name
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def digest(name: str) -> str:
    """Return 16 characters that stand for `name`, of any length: they are kept twice for every event."""
    if not name:
        return ""
    digested = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=12).digest()
    return b2a_base64(digested, newline=False).decode()


def none(data: dict[str, Any]) -> str:
    """Name nothing: the body carries no id and no time that would tell two events apart."""
    return ""


def message(data: dict[str, Any]) -> str:
    """Name a message that was sent, or deleted, by its id. The shape of 2016 has none."""
    message_id = number(inner(data, "payload").get("message_id"))
    if not message_id:
        return ""
    return f"{message_id}|{piece(inner(data, 'channel').get('channel_url'))}"


def edit(data: dict[str, Any]) -> str:
    """Name an edit by its message and time: a message can be edited again."""
    payload = inner(data, "payload")
    message_id = number(payload.get("message_id"))
    updated = number(payload.get("updated_at")) or number(data.get("updated_at"))
    if not (message_id and updated):
        return ""
    return f"{message_id}|{updated}|{piece(inner(data, 'channel').get('channel_url'))}"


def timed(data: dict[str, Any]) -> str:
    """Name an event that carries its own time, to the millisecond, by its time and its whole body.

    Sendbird repeats a request with the same body. A body without a time names nothing, since two equal
    ones may be two events; nor does a time to the second, in which a user can join twice.
    """
    for key in TIME_KEYS:
        time = data.get(key)
        if isinstance(time, int) and _MILLISECONDS_FROM <= time < _LARGEST_INT and time % 1000:
            try:
                body = orjson.dumps(data)
            except orjson.JSONEncodeError:  # nested deeper than orjson writes, though it reads it
                return ""
            return f"{time}|{blake2b(body, digest_size=20).hexdigest()}"
    return ""


def reaction(data: dict[str, Any]) -> str:
    """Name a reaction by its message, time, user and key."""
    message_id = number(inner(data, "message").get("message_id"))
    ts = number(data.get("ts"))
    user = piece(inner(data, "user").get("user_id"))
    key = piece(data.get("reaction"))
    if not (message_id and ts and user and key):
        return ""
    return f"{message_id}|{ts}|{len(user)}:{user}|{key}"


def reading(data: dict[str, Any]) -> str:
    """Name a reading by its channel, and each reader with a time."""
    channel_url = piece(inner(data, "channel").get("channel_url"))
    updates = data.get("read_updates")
    if not (channel_url and isinstance(updates, list)):
        return ""
    readers = []
    for update in updates:
        if not isinstance(update, dict):
            return ""
        user, ts = piece(update.get("user_id")), number(update.get("read_ts"))
        if not (user and ts):
            return ""
        readers.append(f"{ts}:{len(user)}:{user}")
    return "|".join((f"{len(channel_url)}:{channel_url}", *readers)) if readers else ""


def bot_message(data: dict[str, Any]) -> str:
    """Name a callback by its bot and message: each bot of a channel gets its own. 2016's carry no id."""
    message_id = number(inner(data, "message").get("message_id"))
    bot = piece(inner(data, "bot").get("bot_userid"))
    return f"{message_id}|{bot}" if message_id and bot else ""
