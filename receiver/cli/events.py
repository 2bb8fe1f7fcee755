"""`receiver events`: what came in, and what became of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Annotated, Any

import redis
import typer

from receiver.cli import event_page, failures, unwanted
from receiver.cli.output import ERR, OUT, print_json, with_redis
from receiver.cli.purge import purge
from receiver.errors import ReceiverError
from receiver.events.envelope import BATCH, Envelope
from receiver.events.masked import masked_body
from receiver.pipeline import batches, histories
from receiver.pipeline.connection import Client
from receiver.pipeline.deliveries import History
from receiver.pipeline.inbox import Inbox, is_before

PATIENCE = 3.0
"""Seconds that `--follow` waits for an event's deliveries to end before it shows how far they are."""

events = typer.Typer(help="Show what came in, and what became of it.", no_args_is_help=False)

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show what comes in from now on, until Ctrl-C.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show.")]
Category = Annotated[str | None, typer.Option(help="Only this category; group_channel:* for a prefix.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one event a line.")]


@events.callback(invoke_without_command=True)
def default(
    context: typer.Context,
    follow: Follow = False,
    limit: Limit = 20,
    category: Category = None,
    as_json: AsJson = False,
) -> None:
    """Show what came in, and what became of it.

    receiver events                   the latest ones
    receiver events --follow          those that come in from now on
    receiver events show ID           one: its body, and every attempt
    receiver events purge --user ID   remove what is stored of a person
    """
    if context.invoked_subcommand is None:
        list_(follow=follow, limit=limit, category=category, as_json=as_json)


@events.command("list")
def list_(
    follow: Follow = False, limit: Limit = 20, category: Category = None, as_json: AsJson = False
) -> None:
    """List the latest events, newest last; or follow what comes in."""
    if follow:
        with_redis(lambda client: _follow(client, category, as_json))
        return
    found = with_redis(lambda client: _latest(client, limit, category))
    if not (found or as_json):
        which = f" of {category}" if category else ""
        OUT.print(
            f"No events{which} yet. Send one: receiver trigger {category or 'group_channel:message_send'}"
        )
    for envelope, history, dispatched in found:
        _print(envelope, history, as_json, dispatched=dispatched)


@events.command("show")
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The id that the receiver answered.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one event: its body, its deliveries, every attempt. Of a batch, the events that it gathered."""
    envelope, history, gathered, why = with_redis(lambda client: _find(client, event_id))
    if as_json:
        more: dict[str, Any] = {"gathered": gathered} if envelope.source == BATCH else {}
        if why is not None:
            more["unwanted"] = unwanted.describe(why)
        print_json({**event_page.describe(envelope, history), **more, "body": masked_body(envelope.body)})
        return
    event_page.print_event(envelope, history, gathered, why)


events.command("purge")(purge)


async def _latest(client: Client, limit: int, category: str | None) -> list[tuple[Envelope, History, bool]]:
    """Return the latest events, with what became of them, and whether that is known to be all."""
    inbox = Inbox(client)
    wanted = await inbox.latest(limit if category is None else max(limit * 50, 1000))
    wanted = [(entry, one) for entry, one in wanted if _covers(category, one.category)][:limit]
    newest = await inbox.newest_dispatched()
    loaded = await histories.load(client, [entry for entry, _ in wanted])
    return [
        (envelope, history, envelope.source != BATCH and not is_before(newest, entry))
        for (entry, envelope), history in reversed(list(zip(wanted, loaded, strict=True)))
    ]


async def _follow(client: Client, category: str | None, as_json: bool) -> None:
    """Show each event when its deliveries have ended, or when that takes long, and then how each ends."""
    inbox, last, shown = Inbox(client), None, set()
    while True:
        try:
            async for entry, envelope in inbox.follow(last):
                last = entry
                if _covers(category, envelope.category):
                    task = asyncio.create_task(_show_outcome(client, entry, envelope, as_json))
                    shown.add(task)
                    task.add_done_callback(shown.discard)
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            ERR.print("Redis is away; waiting for it", style="yellow")
            await asyncio.sleep(2)


async def _show_outcome(client: Client, entry: str, envelope: Envelope, as_json: bool) -> None:
    deadline = time.monotonic() + PATIENCE
    history, ended = History(()), False
    told: set[tuple[str, int]] = set()
    while not ended and time.monotonic() < deadline:
        with suppress(redis.RedisError, OSError):
            dispatched = await Inbox(client).is_dispatched(entry)
            [history] = await histories.load(client, [entry])
            if not as_json:
                failures.show_new(envelope.id, history, told)
            ended = dispatched and all(map(failures.is_over, history.deliveries))
        await asyncio.sleep(0 if ended else 0.05)
    _print(envelope, history, as_json, dispatched=ended)
    if not (ended or as_json):
        async for delivery in failures.follow(client, entry, envelope.id, history, told):
            _print(envelope, History((delivery,)), as_json)


async def _find(
    client: Client, event_id: str
) -> tuple[Envelope, History, list[str], unwanted.Unwanted | None]:
    """Return an event, its history, the ids of what it gathered, and why it has no deliveries."""
    found = await Inbox(client).find(event_id)
    if found is None:
        raise ReceiverError(
            f"there is no event {event_id}. Ids have 24 hex digits; `receiver events` lists the latest. "
            "Finished events are kept for RECEIVER_RETENTION."
        )
    entry, envelope = found
    dispatched = await Inbox(client).is_dispatched(entry)
    [history] = await histories.load(client, [entry])
    gathered = await batches.ids(client, envelope) if envelope.source == BATCH else []
    why = await unwanted.look(client, entry, envelope, history, dispatched=dispatched)
    return envelope, history, gathered, why


def _covers(wanted: str | None, category: str) -> bool:
    if wanted is None:
        return True
    return category.startswith(wanted[:-1]) if wanted.endswith("*") else category == wanted


def _print(envelope: Envelope, history: History, as_json: bool, *, dispatched: bool = False) -> None:
    if as_json:
        print_json(event_page.describe(envelope, history), lines=True)
    else:
        event_page.print_line(envelope, history, dispatched=dispatched)
