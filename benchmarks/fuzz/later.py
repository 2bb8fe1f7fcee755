"""What is read of an event after it was accepted: none of it may fail, whatever the body holds."""

from __future__ import annotations

import dataclasses
import traceback
from typing import Any

from receiver.events import Envelope, open_event
from receiver.pipeline.routes import Route, RoutingTable
from receiver.plugins import Filter

_TABLE = RoutingTable(
    [
        Route("one.all", Filter(("*",))),
        Route("one.types", Filter(("*",), types=("FILE",))),
        Route("one.custom", Filter(("*",), custom_types=("x",))),
        Route("one.senders", Filter(("group_channel:*",), senders=("x",))),
        Route("one.bots", Filter(("*",), bots=("helper_bot",))),
    ]
)


def trouble(envelope: Envelope) -> str:
    """Read all that can be read of `envelope`; say what failed, or ""."""
    try:
        for text in (envelope.id, envelope.category, envelope.conversation, envelope.identity):
            text.encode()
        event = open_event(envelope)
        look_at_all(event)
        event.forget()
        _TABLE.find(envelope.category, envelope.body)
    except Exception as error:  # any is a finding
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"reading a stored event: {type(error).__name__} at {last.filename}:{last.lineno}"
    return ""


def look_at_all(value: Any, depth: int = 0) -> None:
    """Read every public attribute of an event, and of the values in it."""
    repr(value)
    for name in dir(type(value)):
        if name.startswith("_"):
            continue
        found = getattr(value, name)
        for part in found if isinstance(found, tuple) else (found,):
            if dataclasses.is_dataclass(part) and depth < 3:
                hash(part)
                look_at_all(part, depth + 1)
