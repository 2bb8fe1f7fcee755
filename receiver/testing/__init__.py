"""The kit for plugin authors: events, a stage for handlers, a contract, fixtures. See docs/testing.md.

Names are imported when they are first asked for: pytest loads `receiver.testing.plugin` in every run, and
most of what is here takes longer to import than pytest itself.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "API_TOKEN": "receiver.testing.events",
    "BOT_TOKEN": "receiver.testing.events",
    "Call": "receiver.testing.calls",
    "Clock": "receiver.testing.clock",
    "EmbeddedRedis": "receiver.embedded",
    "HandlersContract": "receiver.testing.contract",
    "Outcome": "receiver.testing.outcome",
    "Reply": "receiver.testing.calls",
    "Request": "receiver.testing.events",
    "Road": "receiver.testing.road",
    "Run": "receiver.testing.outcome",
    "RunningSandbox": "receiver.testing.servers",
    "RunningSink": "receiver.testing.servers",
    "SentMail": "receiver.testing.mails",
    "Stage": "receiver.testing.stage",
    "eventually": "receiver.testing.servers",
    "make_event": "receiver.testing.events",
    "make_request": "receiver.testing.events",
    "run": "receiver.testing.run",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - its names are the keys, which are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
