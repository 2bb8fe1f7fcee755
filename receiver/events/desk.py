"""What is read of Desk's webhooks. Their bodies are not confirmed: all that is guessed of them stands here.

Sendbird documents how Desk signs and how long it waits; what a body holds has been seen by none of us. Desk's
API writes its fields in camel case, its tickets carry `id` and `channelUrl`. Whatever doesn't fit is stored
all the same, as `desk:unknown`, and is in `event.raw`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from receiver.events import identity
from receiver.events.classifying import Classification

PREFIX: Final = "desk:"
"""What the categories of Desk's events begin with. Nobody else's do."""
UNKNOWN: Final = "desk:unknown"

_KINDS = ("category", "eventType", "event_type", "event", "type")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


def classify(data: dict[str, Any]) -> Classification:
    """Tell the category, the conversation and the identity of a body. There is no identity: none is known."""
    return Classification(_category(data), _conversation(data), "")


def _category(data: dict[str, Any]) -> str:
    for key in _KINDS:
        kind = data.get(key)
        if isinstance(kind, str) and _WORD.fullmatch(kind):
            return PREFIX + kind.removeprefix(PREFIX)
    return UNKNOWN


def _conversation(data: dict[str, Any]) -> str:
    """Return the ticket's channel, else the ticket, else "" (the event itself)."""
    nested = (data.get("ticket"), data.get("data"), data.get("payload"))
    for place in (*nested, data):
        if isinstance(place, dict):
            for key in ("channelUrl", "channel_url"):
                if found := identity.piece(place.get(key)):
                    return identity.shorten(found)
    for ticket_id in (identity.inner(data, "ticket").get("id"), data.get("ticketId"), data.get("ticket_id")):
        if found := identity.piece(ticket_id):
            return identity.shorten(f"desk ticket {found}")
    return ""
