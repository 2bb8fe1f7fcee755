"""Why an event has no deliveries: what each handler asks for, and what of it the event lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from receiver.cipher import is_sealed
from receiver.cli.handler_page import wants
from receiver.cli.output import OUT, harmless
from receiver.cli.rows import print_rows
from receiver.events.batches import COLLECTED
from receiver.events.envelope import BATCH, Envelope
from receiver.events.parsing import parse
from receiver.pipeline import keys
from receiver.pipeline.connection import Client
from receiver.pipeline.deliveries import History
from receiver.pipeline.marks import Mark
from receiver.pipeline.routes import Route, RoutingTable, readable
from receiver.plugins import covers

LONGEST = 60
"""Characters of a value that is shown."""
CALLBACK = "bot_message_notification"
"""What bots get."""


@dataclass(frozen=True, slots=True)
class Near:
    """A handler that didn't get an event: what it asks for, and what the event has instead."""

    route: Route
    instead: str


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Why an event has no deliveries.

    `dispatched`: it went by the handlers in `near`. `now` are handlers that ask for such events today.
    `only`: it is a replay for these handlers, and no others count; None where all do.
    """

    dispatched: bool
    near: tuple[Near, ...] = ()
    now: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None


async def look(
    client: Client, entry: str, envelope: Envelope, history: History, *, dispatched: bool
) -> Unwanted | None:
    """Return why the event at `entry` has no deliveries; None where it has, or where that is said already.

    `dispatched` is whether it was, before its history was loaded: asked later, it may be, and have deliveries
    that its history doesn't show.
    """
    if history.deliveries or history.repeats or envelope.source == BATCH:
        return None
    if not dispatched:
        return Unwanted(dispatched=False)
    found = await client.xrevrange(keys.ROUTINGS, entry, count=1)
    then = RoutingTable.from_json(found[0][1][b"routes"]).routes if found else ()
    today = readable(await client.hgetall(keys.ROUTES))
    only = None if envelope.replay_of is None else await _chosen(client, entry)
    body = None if is_sealed(envelope.body) else envelope.body
    data = None if body is None else parse(body)
    near = [
        Near(route, _instead(route, envelope.category, data))
        for route in then
        if (_takes_events(route) if only is None else route.handler in only)
    ]
    now = [] if body is None else RoutingTable(today).find(envelope.category, body, only)
    return Unwanted(True, tuple(near), tuple(route.handler for route in now), only)


def describe(found: Unwanted) -> dict[str, Any]:
    """Return it as JSON."""
    return {
        "dispatched": found.dispatched,
        "handlers": [
            {"name": one.route.handler, "filter": asdict(one.route.filter), "instead": one.instead}
            for one in found.near
        ],
        "wanted_now_by": list(found.now),
        "replayed_for": found.only,
    }


def print_unwanted(found: Unwanted, envelope: Envelope) -> None:
    """Print why an event has no deliveries, and what would have wanted it."""
    if not found.dispatched:
        OUT.print("\nNo handler has it yet: it waits for a `receiver work` that loads handlers.")
        return
    OUT.print("\nNo handler wanted it.", style="bold")
    if found.only is not None:
        there = " only" if found.near else ", which had no route"
        OUT.print(f"It was replayed for {_listed(found.only)}{there}.", markup=False, soft_wrap=True)
    if found.near:
        rows = [(one.route.handler, wants(one.route.filter), one.instead) for one in found.near]
        print_rows(("Handler", "Wants", "But here"), rows)
    if found.now:
        again = f"receiver replay {envelope.id}"
        if found.only is not None:
            again = _listed([f"{again} --handler {name}" for name in found.now])
        OUT.print(
            f"By now it is wanted by {_listed(found.now)}. To give it to them: {again}",
            markup=False,
            soft_wrap=True,
        )
    elif found.only is None:
        OUT.print(f"It would be wanted by one with {_asking(envelope)}", markup=False, soft_wrap=True)


async def _chosen(client: Client, entry: str) -> tuple[str, ...] | None:
    """Return the handlers that a replay is for; None where it is for all."""
    stored = await client.xrange(keys.INBOX, entry, entry)
    mark = stored[0][1].get(keys.REPLAY.encode()) if stored else None
    return Mark.from_json(mark).handlers if mark else None


def _takes_events(route: Route) -> bool:
    return route.filter.categories != (COLLECTED,)  # it gets batches, whatever comes in


def _instead(route: Route, category: str, data: Mapping[str, Any] | None) -> str:
    """Return what an event has where a route asks for something else."""
    wanted = route.filter
    if not any(covers(one, category) for one in wanted.categories):
        return "another category"
    if data is None:
        return "its body, which can't be read here, may differ"
    for label, values, value in (
        ("type", wanted.types, data.get("type")),
        ("custom type", wanted.custom_types, _inner(data, "channel", "custom_type")),
        ("sender", wanted.senders, _inner(data, "sender", "user_id")),
        ("bot", wanted.bots, _inner(data, "bot", "bot_userid")),
    ):
        if values and value not in values:
            return f"{label} {_shown(value)}"
    return "nothing that differs"


def _listed(texts: Iterable[str]) -> str:
    return harmless(", ".join(texts))


def _inner(data: Mapping[str, Any], outer: str, name: str) -> Any:
    value = data.get(outer)
    return value.get(name) if isinstance(value, dict) else None


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return harmless(text if len(text) <= LONGEST else f"{text[:LONGEST]}...").replace("\n", " ") or "empty"


def _asking(envelope: Envelope) -> str:
    """Return how a handler asks for such an event, as an author writes it."""
    if envelope.category == CALLBACK and not is_sealed(envelope.body):
        userid = _inner(parse(envelope.body), "bot", "bot_userid")
        if isinstance(userid, str):
            return f'handlers.bot("{_shown(userid)}")'
    return f'@handlers.on("{_shown(envelope.category)}")'
