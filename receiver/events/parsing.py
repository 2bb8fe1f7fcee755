"""Reading a body: strictly and fast where it is good JSON, leniently where it is nearly so.

Sendbird's bodies come from what people type. Half an emoji (a lone surrogate such as `"\\ud83d"`), NaN or
1e999 is no JSON to a strict reader; but the request is genuine, and an event that isn't stored is lost.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


class NotJSON(ValueError):
    """A body that is no JSON, not even nearly. The message says where, and nothing of the body."""


def parse(body: bytes) -> Any:
    """Return the value of `body`.

    Raises:
        NotJSON: it is none, or it is nested too deep.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Not the error itself: a name for it would be a cycle, by which its copy of the body would stay.
        why = f"{error.msg} at byte {error.pos}"
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        raise NotJSON(why) from None


def storable(text: str) -> str:
    """Return `text` as it can be written in UTF-8: lone surrogates become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
