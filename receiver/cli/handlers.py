"""`receiver handlers`: which handlers there are, what they want, and forgetting one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import redis
import typer
from rich.table import Table
from rich.text import Text

from receiver import discovery
from receiver.cli import beside
from receiver.cli.output import OUT, print_json, with_redis
from receiver.errors import ReceiverError
from receiver.pipeline import forgetting, keys
from receiver.pipeline.connection import Client, connect_blocking
from receiver.pipeline.dispatcher import RENEW
from receiver.pipeline.forgetting import Left
from receiver.pipeline.routes import Route, published, queue_of
from receiver.plugins import Filter, Handler

MISSING = "not loaded here: its events wait until it is back"


SETTLES = 2 * RENEW + 1
"""Seconds after which a dispatcher has read the routes again, whatever it was doing."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

handlers = typer.Typer(help="List the handlers, or forget one.", no_args_is_help=False)


@handlers.callback(invoke_without_command=True)
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """List the handlers that RECEIVER_HANDLERS, or the installed plugins, bring.

    Handlers that were loaded before, or are loaded elsewhere, are listed, too, where Redis can be reached:
    they go on getting events. One that is gone for good is forgotten by: receiver handlers forget NAME
    """
    if context.invoked_subcommand is None:
        _list(as_json)


@handlers.command("forget")
def forget(
    name: Annotated[str, typer.Argument(help="The handler's name, as `receiver handlers` lists it.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Forget a handler that was renamed or removed: it gets no more events, and what waits is dropped.

    Until then its events wait for it, and the inbox keeps them. A handler that is loaded is not
    forgotten; one that is loaded elsewhere gets events again when a worker with it starts.
    """
    if name in discovery.load(beside.load().handlers):
        raise ReceiverError(
            f"the handler {name} is loaded here. Take it out of RECEIVER_HANDLERS, or uninstall its plugin, "
            "and end the workers that have it; then forget it."
        )
    left = with_redis(lambda client: forgetting.look(client, name))
    if not left.known:
        raise ReceiverError(f"there is no handler {name!r} to forget. `receiver handlers` lists them.")
    _check_rest(left)
    OUT.print(f"Waiting for {name}: {_events(left.waiting)}.", markup=False)
    if not yes:
        typer.confirm("Forget it, and drop what waits?", abort=True)
    dropped = with_redis(lambda client: _forget(client, name))
    OUT.print(f"Forgotten: {name}. Dropped: {_events(dropped)}.", markup=False)


async def _forget(client: Client, name: str) -> int:
    """Drop everything, also what a dispatcher still brings; return how many deliveries that were."""
    left = await forgetting.forget(client, name)
    _check_rest(left)
    dropped = left.waiting
    if await client.exists(keys.LEASE):
        await asyncio.sleep(SETTLES)
        left = await forgetting.forget(client, name)
        _check_rest(left)
        dropped += left.waiting
    return dropped


def _check_rest(left: Left) -> None:
    if left.running:
        raise ReceiverError(
            f"a worker still runs it (the lane {left.running}). End the workers that have it, then forget it."
        )


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _list(as_json: bool) -> None:
    config = beside.load()
    found = discovery.load(config.handlers)
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
