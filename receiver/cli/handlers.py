"""`receiver handlers`: which handlers there are, and what they want."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import redis
import typer
from rich.table import Table
from rich.text import Text

from receiver import plugins
from receiver.cli import beside
from receiver.cli.output import OUT, print_json
from receiver.pipeline.connection import connect_blocking
from receiver.pipeline.routes import Route, published, queue_of
from receiver.plugins import Filter, Handler

MISSING = "not loaded here: its events wait until it is back"


def handlers(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the handlers that RECEIVER_HANDLERS, or the installed plugins, bring.

    Handlers that were loaded before, or are loaded elsewhere, are listed, too, where Redis can be reached:
    they go on getting events.
    """
    config = beside.load()
    found = plugins.load(config.handlers)
    elsewhere = [route for route in _published(config.redis_url) if route.handler not in found]
    if as_json:
        print_json([*map(_describe, found.values()), *map(_describe_route, elsewhere)])
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Handler", "Wants", "Retries", "Timeout", "What it does"):
        table.add_column(heading, overflow="fold")
    for handler in found.values():
        limits = str(handler.retries), f"{handler.timeout:g} s"
        table.add_row(handler.name, Text(_wants(handler.filter)), *limits, Text(handler.summary))
    for route in elsewhere:
        table.add_row(route.handler, Text(_wants(route.filter)), "", "", Text(MISSING, style="yellow"))
    OUT.print(table)
    OUT.print(f"\nA handler's RQ queue is {queue_of('NAME')}.", style="dim")


def _published(redis_url: str | None) -> Iterable[Route]:
    if redis_url is None:
        return []
    try:
        with connect_blocking(redis_url, timeout=2) as client:
            return published(client)
    except (redis.RedisError, OSError):  # without Redis, the list is that of the code
        return []


def _describe(handler: Handler) -> dict[str, Any]:
    return {
        "name": handler.name,
        "loaded": True,
        "filter": asdict(handler.filter),
        "predicate": handler.where is not None,
        "retries": handler.retries,
        "timeout": handler.timeout,
        "concurrency": handler.concurrency,
        "queue": queue_of(handler.name),
        "summary": handler.summary,
        "source": handler.source,
    }


def _describe_route(route: Route) -> dict[str, Any]:
    queue = queue_of(route.handler)
    return {"name": route.handler, "loaded": False, "filter": asdict(route.filter), "queue": queue}


def _wants(wanted: Filter) -> str:
    parts = [", ".join(wanted.categories)]
    for label, values in (
        ("type", wanted.types),
        ("custom type", wanted.custom_types),
        ("from", wanted.senders),
        ("for", wanted.bots),
    ):
        if values:
            parts.append(f"{label} {', '.join(values)}")
    return "; ".join(parts)
