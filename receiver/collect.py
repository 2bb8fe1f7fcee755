"""Collecting: events are gathered under keys, and a handler gets each key's events as one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Window:
    """When a batch closes: after `quiet` seconds without a further event, `longest` seconds after its
    first event, or with its `most`-th event, whichever comes first.
    """

    quiet: float
    longest: float
    most: int


@dataclass(frozen=True, slots=True)
class Collect:
    """What `@handlers.collect(...)` makes of a function: what `context.gather` gathers for.

    `handler` is the handler's name, `call` the function itself.
    """

    handler: str
    window: Window
    call: Callable[..., Any]
