"""`receiver handlers`: which handlers there are, what they want, and showing or forgetting one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated, Any

import redis
import typer
from rich.text import Text

from receiver import discovery
from receiver.cli import beside, handler_page
from receiver.cli.output import OUT, print_json, with_redis
from receiver.cli.rows import Row, print_rows
from receiver.errors import ReceiverError
from receiver.pipeline import forgetting, keys
from receiver.pipeline.connection import Client, connect_blocking
from receiver.pipeline.dispatcher import RENEW
from receiver.pipeline.forgetting import Left
from receiver.pipeline.routes import Route, published, queue_of
from receiver.plugins import Handler

MISSING = "not loaded here: {} until it is back"


SETTLES = 2 * RENEW + 1
"""Seconds after which a dispatcher has read the routes again, whatever it was doing."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

handlers = typer.Typer(help="List the handlers, show one, or forget one.", no_args_is_help=False)


@handlers.callback(invoke_without_command=True)
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """List the handlers that RECEIVER_HANDLERS, or the installed plugins, bring.

    Handlers that were loaded before, or are loaded elsewhere, are listed, too, where Redis can be reached:
    they go on getting events. One that is gone for good is forgotten by: receiver handlers forget NAME
    """
    if context.invoked_subcommand is None:
        _list(as_json)


@handlers.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A handler's name, or a plugin's: all of its handlers.")],
    as_json: AsJson = False,
) -> None:
    """Show one handler, or one plugin: what it wants, its settings, what waits for it, what failed lately."""
    config = beside.load()
    found = discovery.load(config.handlers)
    wanted = {one.name: one for one in found.values() if name in (one.name, one.plugin and one.plugin.name)}
    seen, why = handler_page.look(config.redis_url, wanted or [name])
    elsewhere = not wanted and name in seen and seen[name].left.known
    if not (wanted or elsewhere):
        raise ReceiverError(_no_such(name, found, config.redis_url))
    plugins = {one.plugin: None for one in wanted.values() if one.plugin is not None}
    if as_json:
        loaded = [handler_page.describe_fully(one, seen) for one in wanted.values()]
        absent = [{"name": name, "loaded": False, **handler_page.describe_seen(name, seen)}]
        print_json(
            {
                "plugins": [handler_page.describe_plugin(plugin) for plugin in plugins],
                "handlers": absent if elsewhere else loaded,
                "redis": why or "answers",
            }
        )
        return
    for plugin in plugins:
        handler_page.print_plugin(plugin)
    for one in wanted.values():
        handler_page.print_handler(one, seen, why)
    if elsewhere:
        handler_page.print_elsewhere(name, _missing(seen[name].left.waiting), seen)


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


def _no_such(name: str, found: Mapping[str, Handler], redis_url: str | None) -> str:
    plugins = {one.plugin.name for one in found.values() if one.plugin is not None}
    names = sorted({*found, *plugins, *(route.handler for route in _published(redis_url))})
    close = get_close_matches(name, names, n=3)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(names) or 'none'}."
    return f"there is no handler or plugin {name!r}. {hint}"


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _list(as_json: bool) -> None:
    config = beside.load()
    found = discovery.load(config.handlers)
    elsewhere = [route for route in _published(config.redis_url) if route.handler not in found]
    seen, _ = handler_page.look(config.redis_url, [route.handler for route in elsewhere])
    waiting = {name: one.left.waiting for name, one in seen.items()}
    if as_json:
        print_json(
            [
                *map(handler_page.describe, found.values()),
                *(_describe_route(route, waiting) for route in elsewhere),
            ]
        )
        return
    rows: list[Row] = [
        (one.name, handler_page.wants(one.filter), str(one.retries), f"{one.timeout:g} s", one.summary)
        for one in found.values()
    ]
    for route in elsewhere:
        missing = Text(_missing(waiting.get(route.handler)), style="yellow")
        rows.append((route.handler, handler_page.wants(route.filter), "", "", missing))
    print_rows(("Handler", "Wants", "Retries", "Timeout", "What it does"), rows)
    OUT.print(f"\nA handler's RQ queue is {queue_of('NAME')}.", style="dim")


def _published(redis_url: str | None) -> Iterable[Route]:
    if redis_url is None:
        return []
    try:
        with connect_blocking(redis_url, timeout=2) as client:
            return published(client)
    except (redis.RedisError, OSError):  # without Redis, the list is that of the code
        return []


def _missing(waiting: int | None) -> str:
    """Say that a handler isn't there, and how much waits for it, where that is known."""
    if waiting is None:
        return MISSING.format("its events wait")
    return MISSING.format(f"{_events(waiting)} {'waits' if waiting == 1 else 'wait'}")


def _describe_route(route: Route, waiting: Mapping[str, int]) -> dict[str, Any]:
    about = {"filter": asdict(route.filter), "queue": queue_of(route.handler)}
    return {"name": route.handler, "loaded": False, **about, "waiting": waiting.get(route.handler)}
