"""All that is known of a handler, or of a plugin and its handlers: `receiver handlers show NAME`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import redis
from rich.table import Table
from rich.text import Text

from receiver import plugin_settings
from receiver.bots import Bot
from receiver.calls import place
from receiver.cli.output import OUT, harmless, iso_time, show_time
from receiver.cli.rows import print_rows
from receiver.events.batches import COLLECTED
from receiver.pipeline import forgetting, histories, keys
from receiver.pipeline.connection import Client, connect
from receiver.pipeline.forgetting import Left
from receiver.pipeline.inbox import Inbox
from receiver.pipeline.routes import Route, queue_of, readable
from receiver.plugin_settings import Setting
from receiver.plugins import Filter, Handler, Handlers, Hook
from receiver.redaction import clean, masked

LATEST = 300
"""Events, the newest ones, in which failures are looked for."""
FAILURES = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed. `ended` is in milliseconds; `error` may quote what people wrote."""

    event: str
    attempt: int
    ended: int
    outcome: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What Redis knows of a handler: what the dispatcher goes by, what waits, and what failed lately."""

    route: Route | None
    left: Left
    failures: tuple[Failure, ...]


def look(redis_url: str | None, names: Iterable[str]) -> tuple[dict[str, Seen], str]:
    """Return what Redis knows of the handlers `names`; else {} and why it isn't known."""
    if redis_url is None:
        return {}, "RECEIVER_REDIS_URL is not set"
    try:
        return asyncio.run(_look(redis_url, list(names))), ""
    except (redis.RedisError, OSError) as error:
        return {}, f"RECEIVER_REDIS_URL={masked(redis_url)} does not answer: {error}"


async def _look(redis_url: str, names: list[str]) -> dict[str, Seen]:
    client = connect(redis_url)
    try:
        failures = await _failures(client)
        seen = {}
        for name in names:
            stored = await client.hget(keys.ROUTES, name)
            route = readable({name.encode(): stored}) if stored else []
            left = await forgetting.look(client, name)
            found = [failure for handler, failure in failures if handler == name]
            found.sort(key=lambda failure: failure.ended, reverse=True)
            seen[name] = Seen(route[0] if route else None, left, tuple(found[:FAILURES]))
        return seen
    finally:
        await client.aclose()


async def _failures(client: Client) -> list[tuple[str, Failure]]:
    events = await Inbox(client).latest(LATEST)
    loaded = await histories.load(client, [entry for entry, _ in events])
    return [
        (
            delivery.handler,
            Failure(envelope.id, attempt.number, attempt.ended, attempt.outcome, attempt.error),
        )
        for (_, envelope), history in zip(events, loaded, strict=True)
        for delivery in history.deliveries
        for attempt in delivery.attempts
        if attempt.outcome in ("failed", "timed out", "cut off")
    ]


def describe_plugin(plugin: Handlers[Any]) -> dict[str, Any]:
    """Return what is known of a plugin, as JSON."""
    kind = plugin.settings_class
    return {
        "name": plugin.name,
        "settings_class": f"{kind.__module__}.{kind.__qualname__}" if kind else None,
        "settings": [asdict(setting) for setting in _settings(plugin)],
        "startup": _hooks(plugin.startups),
        "shutdown": _hooks(plugin.shutdowns),
    }


def describe(handler: Handler) -> dict[str, Any]:
    """Return what the code says of a handler, as JSON."""
    return {
        "name": handler.name,
        "loaded": True,
        "filter": asdict(handler.filter),
        "predicate": handler.where is not None,
        "retries": handler.retries,
        "timeout": handler.timeout,
        "concurrency": handler.concurrency,
        "order": handler.order,
        "queue": queue_of(handler.name),
        "summary": handler.summary,
        "source": handler.source,
    }


def describe_fully(handler: Handler, seen: Mapping[str, Seen]) -> dict[str, Any]:
    """Return all that is known of a handler, as JSON."""
    return {
        **describe(handler),
        "plugin": handler.plugin.name if handler.plugin else None,
        "doc": _doc(handler),
        "where": place(handler.where) if handler.where is not None and not _is_bot(handler) else None,
        "window": asdict(handler.window) if handler.window else None,
        "commands": [
            {"name": one.name, "help": one.help, "source": place(one.call)} for one in _commands(handler)
        ],
        **describe_seen(handler.name, seen),
    }


def describe_seen(name: str, seen: Mapping[str, Seen]) -> dict[str, Any]:
    """Return what Redis knows of a handler, as JSON; null where it doesn't answer."""
    if name not in seen:
        return {"published": None, "waiting": None, "running": None, "failures": None}
    found = seen[name]
    return {
        "published": asdict(found.route.filter) if found.route else None,
        "waiting": found.left.waiting,
        "running": bool(found.left.running),
        "failures": [{**asdict(one), "ended": iso_time(one.ended)} for one in found.failures],
    }


def print_plugin(plugin: Handlers[Any]) -> None:
    """Print a plugin: its settings, and what runs at its start and end."""
    OUT.print(Text.assemble("Plugin ", (plugin.name, "bold")))
    rows = _grid()
    for label, hooks in (("Startup", plugin.startups), ("Shutdown", plugin.shutdowns)):
        for hook in _hooks(hooks):
            rows.add_row(label, Text(f"{hook['name']}  {hook['source']}"))
    if plugin.settings_class is None:
        rows.add_row("Settings", "none")
    OUT.print(rows)
    if plugin.settings_class is not None:
        settings = [
            (
                one.name,
                one.value,
                one.origin,
                "needed" if one.default is None else one.default,
                one.description,
            )
            for one in _settings(plugin)
        ]
        print_rows(("Setting", "Value", "From", "Default", "What it is"), settings)


def print_handler(handler: Handler, seen: Mapping[str, Seen], why: str) -> None:
    """Print a handler: what it wants, its limits, where it stands, and what Redis knows of it."""
    OUT.print(Text.assemble("\nHandler ", (handler.name, "bold")))
    if doc := _doc(handler):
        OUT.print(Text(doc), style="dim")
    rows = _grid()
    rows.add_row("Stands at", Text(handler.source))
    rows.add_row("Wants", Text(wants(handler.filter)))
    if handler.where is not None and not _is_bot(handler):
        rows.add_row("Only where", Text(place(handler.where)))
    if handler.window is not None:
        window = handler.window
        rows.add_row(
            "Closes", f"after {window.quiet:g} s quiet, {window.longest:g} s in all, or {window.most} events"
        )
    for command in _commands(handler):
        rows.add_row("Command", Text(f"{command.name}  {command.help}  {place(command.call)}"))
    rows.add_row(
        "Limits",
        f"{handler.retries} retries, {handler.timeout:g} s an attempt, {handler.concurrency} conversations",
    )
    if handler.order is None:
        rows.add_row("Order", "none: its events don't wait for each other")
    _add_seen(rows, handler.name, handler.filter, seen, why)
    OUT.print(rows)


def print_elsewhere(name: str, missing: str, seen: Mapping[str, Seen]) -> None:
    """Print a handler that isn't loaded here, and of which Redis knows."""
    OUT.print(Text.assemble("Handler ", (name, "bold"), "  ", (missing, "yellow")))
    rows = _grid()
    route = seen[name].route
    if route is not None:
        rows.add_row("Wants", Text(wants(route.filter)))
    _add_seen(rows, name, route.filter if route else None, seen, "")
    OUT.print(rows)


def wants(wanted: Filter) -> str:
    """Return in words what passes a filter."""
    parts = ["batches" if wanted.categories == (COLLECTED,) else ", ".join(wanted.categories)]
    for label, values in (
        ("type", wanted.types),
        ("custom type", wanted.custom_types),
        ("from", wanted.senders),
        ("for", wanted.bots),
    ):
        if values:
            parts.append(f"{label} {', '.join(values)}")
    return "; ".join(parts)


def _add_seen(rows: Table, name: str, wanted: Filter | None, seen: Mapping[str, Seen], why: str) -> None:
    rows.add_row("Queue", queue_of(name))
    if name not in seen:
        rows.add_row("Redis", Text(why, style="yellow"))
        return
    found = seen[name]
    if found.route is None:
        rows.add_row("Route", Text("not published: it gets no events until a worker has it", style="yellow"))
    elif found.route.filter != wanted:
        rows.add_row("Route", Text(f"published otherwise: {wants(found.route.filter)}", style="yellow"))
    else:
        rows.add_row("Route", "published as above")
    running = f"; the lane {found.left.running} is being drained" if found.left.running else ""
    rows.add_row("Waiting", f"{found.left.waiting}{running}")
    for one in found.failures:
        said = f"{one.outcome}: {clean(one.error)}" if one.error else one.outcome
        told = f"{show_time(one.ended)}  {one.event}  attempt {one.attempt} {said}"
        rows.add_row("Failed", Text(harmless(told)))


def _grid() -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    return rows


def _settings(plugin: Handlers[Any]) -> list[Setting]:
    return [] if plugin.settings_class is None else plugin_settings.show(plugin.settings)


def _hooks(hooks: Iterable[Hook]) -> list[dict[str, str]]:
    return [{"name": getattr(hook, "__name__", repr(hook)), "source": place(hook)} for hook in hooks]


def _doc(handler: Handler) -> str:
    return handler.summary if _is_bot(handler) else inspect.getdoc(handler.call) or ""


def _commands(handler: Handler) -> Iterable[Any]:
    return handler.call.commands if isinstance(handler.call, Bot) else ()


def _is_bot(handler: Handler) -> bool:
    return isinstance(handler.call, Bot)
