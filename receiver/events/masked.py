"""What may be shown of a stored body, and what people wrote in it, which no error text may repeat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from receiver.events.parsing import NotJSON, parse
from receiver.redaction import MASK

WRITTEN = frozenset({"message", "text", "data", "translations", "filename", "subject", "lastmessage"})
"""Keys under which stands what people wrote, or an application for them. Desk writes `lastMessage`."""


def masked_body(body: bytes) -> Any:
    """Return a body as it may be shown: parsed, its bot's token masked; None where it can't be read."""
    try:
        data = parse(body)
    except NotJSON:
        return None
    bot = data.get("bot") if isinstance(data, dict) else None
    if isinstance(bot, dict) and bot.get("bot_token"):
        bot["bot_token"] = MASK
    return data


def written_in(data: Any) -> Iterator[str]:
    """Give the texts in a parsed body that people wrote.

    They are looked for wherever they stand in it: categories have them in different places.
    """
    waiting = [(data, False)]
    while waiting:
        one, is_written = waiting.pop()
        if isinstance(one, str):
            if is_written:
                yield one
        elif isinstance(one, dict):
            for key, value in one.items():
                # a bot callback has an object under "message", in which not everything was written
                is_text = key.replace("_", "").lower() in WRITTEN and (
                    key != "message" or not isinstance(value, dict)
                )
                waiting.append((value, is_written or is_text))
        elif isinstance(one, list):
            waiting += [(value, is_written) for value in one]
