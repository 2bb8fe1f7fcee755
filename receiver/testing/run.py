"""The shortest way: one event, on a stage of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from typing_extensions import Unpack

from receiver.events import Event
from receiver.testing.events import Kind
from receiver.testing.groups import Plugin
from receiver.testing.outcome import Outcome
from receiver.testing.overrides import Options
from receiver.testing.stage import Stage


async def run(
    handlers: Plugin | Iterable[Plugin],
    event: Event | Kind,
    /,
    *,
    handler: str | None = None,
    catch: bool = False,
    settings: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Outcome:
    """Give handlers one event, and return what came of it: `await run(handlers, MessageSent, text="hi")`.

    Each handler that wants the event has one attempt; what it gathers waits (for a scenario, use `Stage`).
    The arguments are those of `Stage` and of its `send`.

    Raises:
        Exception: what a handler raised, unless `catch`.
    """
    async with Stage(handlers, settings=settings) as stage:
        return await stage.send(event, handler=handler, catch=catch, **options)
