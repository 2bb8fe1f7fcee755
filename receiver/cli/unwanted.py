"""Why an event has no deliveries: what each handler asks for, and what of it the event lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from receiver.cipher import is_sealed
from receiver.cli.failures import harmless
from receiver.cli.handler_page import wants
from receiver.cli.output import OUT
from receiver.cli.rows import print_rows
from receiver.events.batches import COLLECTED
from receiver.events.envelope import BATCH, Envelope
from receiver.events.parsing import parse
from receiver.pipeline import keys
from receiver.pipeline.connection import Client
from receiver.pipeline.deliveries import History
from receiver.pipeline.inbox import Inbox
from receiver.pipeline.routes import Route, RoutingTable
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
    """

    dispatched: bool
    near: tuple[Near, ...] = ()
    now: tuple[str, ...] = ()


async def look(client: Client, entry: str, envelope: Envelope, history: History) -> Unwanted | None:
    """Return why the event at `entry` has no deliveries; None where it has, or where that is said already."""
    if history.deliveries or history.repeats or envelope.source == BATCH:
        return None
    if not await Inbox(client).is_dispatched(entry):
        return Unwanted(dispatched=False)
    found = await client.xrevrange(keys.ROUTINGS, entry, count=1)
    then = RoutingTable.from_json(found[0][1][b"routes"]).routes if found else ()
    today = map(Route.from_json, (await client.hgetall(keys.ROUTES)).values())
    body = None if is_sealed(envelope.body) else envelope.body
    data = None if body is None else parse(body)
    near = [Near(route, _instead(route, envelope.category, data)) for route in then if _takes_events(route)]
    now = [] if body is None else RoutingTable(today).find(envelope.category, body)
    return Unwanted(True, tuple(near), tuple(route.handler for route in now))


def describe(found: Unwanted) -> dict[str, Any]:
    """Return it as JSON."""
    return {
        "dispatched": found.dispatched,
        "handlers": [
            {"name": one.route.handler, "filter": asdict(one.route.filter), "instead": one.instead}
            for one in found.near
        ],
        "wanted_now_by": list(found.now),
    }


def print_unwanted(found: Unwanted, envelope: Envelope) -> None:
    """Print why an event has no deliveries, and what would have wanted it."""
    if not found.dispatched:
        OUT.print("\nNo handler has it yet: it waits for a `receiver work` that loads handlers.")
        return
    OUT.print("\nNo handler wanted it.", style="bold")
    if found.near:
        rows = [(one.route.handler, wants(one.route.filter), one.instead) for one in found.near]
        print_rows(("Handler", "Wants", "But here"), rows)
    if found.now:
        OUT.print(
            f"By now it is wanted by {', '.join(found.now)}. "
            f"To give it to them: receiver replay {envelope.id}",
            markup=False,
            soft_wrap=True,
        )
        return
    OUT.print(f"It would be wanted by one with {_asking(envelope)}", markup=False, soft_wrap=True)


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
