"""`receiver dead-letters`: deliveries whose attempts are spent: look at them, retry or discard them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import redis
import typer
from rich.progress import Progress

from receiver.cli import ages, event_page
from receiver.cli.output import ERR, OUT, iso_time, print_json, show_time, with_both, with_redis
from receiver.cli.rows import print_rows
from receiver.errors import ReceiverError
from receiver.events.envelope import BATCH
from receiver.events.masked import masked_body
from receiver.pipeline import batches, workers
from receiver.pipeline import dead_letters as letters
from receiver.pipeline.connection import Client
from receiver.pipeline.dead_letters import DeadLetter, Wanted
from receiver.pipeline.deliveries import History
from receiver.redaction import clean

dead_letters = typer.Typer(
    help="Deliveries whose attempts are spent: look at them, retry or discard them.", no_args_is_help=True
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of events.", show_default=False)]
HandlerOption = Annotated[str | None, typer.Option("--handler", help="Only this handler's.")]
Category = Annotated[str | None, typer.Option(help="Only this category; group_channel:* for a prefix.")]
Error = Annotated[str | None, typer.Option(help="Only those whose last error holds this text.")]
OlderThan = Annotated[str | None, typer.Option(help="Only those that died longer ago: 30m, 12h, 7d.")]
NewerThan = Annotated[str | None, typer.Option(help="Only those that died within this time: 30m, 12h, 7d.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one dead letter a line.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


@dead_letters.command("list")
def list_(
    ids: Ids = None,
    handler: HandlerOption = None,
    category: Category = None,
    error: Error = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the oldest first. All filters must fit."""
    wanted = _wanted(ids, handler, category, error, older_than, newer_than)
    found, total = with_redis(lambda client: _page(client, wanted, limit))
    if as_json:
        for one in found:
            print_json(_describe(one), lines=True)
        return
    if not found:
        OUT.print("No dead letters." if not total else f"None of the {total} dead letters fits.")
        return
    print_rows(
        ("Died", "Event", "Handler", "Category", "Attempts", "Last error"),
        [
            (
                show_time(int(one.died)).partition(".")[0],  # whole seconds: the rows are wide
                one.envelope.id,
                one.handler,
                one.envelope.category,
                str(len(one.delivery.attempts)),
                clean(one.error).partition("\n")[0],
            )
            for one in found
        ],
        first=3,
    )
    if len(found) < total:
        OUT.print(f"\n{len(found)} of {total} dead letters.", style="dim")


@dead_letters.command("show")
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show an event that has dead letters: its body, and every attempt."""
    found, gathered = with_redis(lambda client: _look(client, event_id))
    if not found:
        raise ReceiverError(f"no dead letter is about {event_id}. `receiver dead-letters list` lists them.")
    envelope, history = found[0].envelope, History(tuple(one.delivery for one in found))
    if not as_json:
        event_page.print_event(envelope, history, gathered)
        return
    more = {"gathered": gathered} if envelope.source == BATCH else {}
    print_json({**event_page.describe(envelope, history), **more, "body": masked_body(envelope.body)})


@dead_letters.command("retry")
def retry(
    ids: Ids = None,
    handler: HandlerOption = None,
    category: Category = None,
    error: Error = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    yes: Yes = False,
) -> None:
    """Have dead letters tried again: those with these IDs, or all that fit the filters.

    They go behind what waits in their conversations, and have all their attempts again. What they did
    under `context.once` is not done again.
    """
    wanted = _wanted(ids, handler, category, error, older_than, newer_than)
    found = _find(wanted, "Retry", yes=yes)

    def act(client: Client, blocking: redis.Redis) -> Awaitable[int]:
        return _in_pages(found, lambda some: letters.retry(client, blocking, some), "Retrying")

    _tell("Retried", len(found), with_both(act))
    handlers = {one.handler for one in found}
    for name in with_both(lambda _, blocking: asyncio.to_thread(workers.without_worker, blocking, handlers)):
        OUT.print(f"No worker runs {name} now: what is for it waits until one does.", style="yellow")


@dead_letters.command("discard")
def discard(
    ids: Ids = None,
    handler: HandlerOption = None,
    category: Category = None,
    error: Error = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    yes: Yes = False,
) -> None:
    """Drop dead letters and their events: those with these IDs, or all that fit the filters."""
    wanted = _wanted(ids, handler, category, error, older_than, newer_than)
    found = _find(wanted, "Discard", yes=yes)
    number = with_redis(
        lambda client: _in_pages(found, lambda some: letters.discard(client, some), "Discarding")
    )
    _tell("Discarded", len(found), number)


def _find(wanted: Wanted, verb: str, *, yes: bool) -> list[DeadLetter]:
    """Return what is meant, after asking."""
    found = with_redis(lambda client: _all(client, wanted))
    if not found:
        OUT.print("No dead letter fits.")
        raise typer.Exit(1 if wanted.ids else 0)
    if not yes:
        typer.confirm(f"{verb} {_count(len(found))}?", abort=True)
    return found


async def _in_pages(
    found: list[DeadLetter], act: Callable[[list[DeadLetter]], Awaitable[int]], doing: str
) -> int:
    """Act on what was found, with a bar that tells how far that is; return how many it worked for."""
    number = 0
    with Progress(console=ERR, transient=True) as progress:
        task = progress.add_task(doing, total=len(found))
        for first in range(0, len(found), letters.PAGE):
            some = found[first : first + letters.PAGE]
            number += await act(some)
            progress.advance(task, len(some))
    return number


def _tell(done: str, found: int, number: int) -> None:
    OUT.print(f"{done}: {_count(number)}.")
    if number < found:
        OUT.print(
            f"{_count(found - number)} had been retried or discarded by somebody else meanwhile.", style="dim"
        )


async def _all(client: Client, wanted: Wanted) -> list[DeadLetter]:
    return [one async for one in letters.find(client, wanted)]


async def _page(client: Client, wanted: Wanted, limit: int) -> tuple[list[DeadLetter], int]:
    """Return the first letters that fit, and how many there are at all."""
    found: list[DeadLetter] = []
    async for one in letters.find(client, wanted):
        found.append(one)
        if len(found) == limit:
            break
    return found, await letters.count(client)


async def _look(client: Client, event_id: str) -> tuple[list[DeadLetter], list[str]]:
    """Return the letters about an event, and, of a batch, the ids of what it gathered."""
    found = await _all(client, Wanted(ids=frozenset([event_id])))
    is_batch = found and found[0].envelope.source == BATCH
    return found, await batches.ids(client, found[0].envelope) if is_batch else []


def _wanted(
    ids: list[str] | None,
    handler: str | None,
    category: str | None,
    error: str | None,
    older_than: str | None,
    newer_than: str | None,
) -> Wanted:
    now = time.time() * 1000
    return Wanted(
        ids=frozenset(ids or ()),
        handler=handler,
        category=category,
        error=error,
        since=now - ages.age(newer_than, "--newer-than") if newer_than else 0.0,
        until=now - ages.age(older_than, "--older-than") if older_than else float("inf"),
    )


def _count(number: int) -> str:
    return "1 dead letter" if number == 1 else f"{number} dead letters"


def _describe(one: DeadLetter) -> dict[str, Any]:
    return {
        "id": one.envelope.id,
        "handler": one.handler,
        "category": one.envelope.category,
        "conversation": one.envelope.conversation,
        "died": iso_time(int(one.died)),
        "attempts": len(one.delivery.attempts),
        "error": one.error,
    }
