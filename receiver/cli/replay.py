"""`receiver replay`: events that are kept, or stand in a file, go their road once more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import redis
import typer
from rich.progress import Progress
from rich.text import Text

from receiver.cli import ages, backfill, beside
from receiver.cli.output import ERR, OUT, harmless, print_json, show_time, with_both
from receiver.cli.rows import print_line
from receiver.errors import NotStored, ReceiverError
from receiver.events.envelope import Envelope
from receiver.intake import new_id
from receiver.pipeline import routes
from receiver.pipeline.connection import Client
from receiver.pipeline.feeder import Feeder
from receiver.pipeline.marks import Mark
from receiver.pipeline.replay import Chosen, End, Selection, Wish

AT_ONCE = 200
"""Events of one append."""
BYTES = 4 * 2**20
"""Bytes of their bodies, about."""

Item = tuple[Envelope, Mark | None, tuple[str, ...] | None]
"""An event to append, its mark, and the handlers that get it, where that is known."""
Items = Callable[[], AsyncIterator[Item]]


def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of events.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only what was received since: an age (2h), or an ISO time.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only what was received until then.")] = None,
    category: Annotated[
        str | None, typer.Option(help="Only this category; group_channel:* for a prefix.")
    ] = None,
    conversation: Annotated[str | None, typer.Option(help="Only this conversation.")] = None,
    handler: Annotated[str | None, typer.Option(help="Only for this handler.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only dead letters, each for the handler at which it died.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take requests from this file, one JSON a line.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be replayed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one event a line.")] = False,
) -> None:
    """Have events run once more, as new events: handlers see in event.replay_of that it is a replay.

    receiver replay ID                          one event
    receiver replay --since 2h --handler mail   two hours, for one handler
    receiver replay --failed --since 1d         a day's dead letters
    receiver replay --file requests.jsonl       what was never received

    With --failed, each goes to the handler at which it died.

    Effects under context.once happen again: it is another event. (receiver dead-letters retry goes on with
    the same one.) Events that have left the inbox (RECEIVER_RETENTION) are gone, unless they are dead
    letters, which --failed finds, and their ID. Of a time range, replays and repeats are left out.
    """
    others = (since, until, category, conversation, handler, ids)
    if file is not None:
        if any(others) or failed:
            raise typer.BadParameter("a file is taken as a whole: --file goes without other choices")
        _backfill(file, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    if not (any(others) or failed):
        raise typer.BadParameter("say what to replay: ids of events, --since 2h, --failed, --file ...")
    now = time.time() * 1000
    begin = ages.moment(since, "--since", now) if since else 0.0
    end = ages.moment(until, "--until", now) if until else float("inf")
    if begin > end:
        raise typer.BadParameter("--until is before --since")
    wish = Wish(
        ids=tuple(dict.fromkeys(ids or ())),
        since=begin,
        until=end,
        category=category,
        conversation=conversation,
        handler=handler,
        failed=failed,
    )
    _replay(wish, dry_run=dry_run, yes=yes, as_json=as_json)


def _replay(wish: Wish, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    known = with_both(lambda _, blocking: asyncio.to_thread(routes.published, blocking))
    names = [route.handler for route in known]
    if wish.handler is not None and wish.handler not in names:
        raise ReceiverError(f"there is no handler {wish.handler!r}. There are: {', '.join(names) or 'none'}.")

    async def count(client: Client, _: redis.Redis) -> tuple[int, Selection]:
        selection, number = Selection(client, wish, known, await End.now(client)), 0
        async for chosen in selection:
            number += 1
            if dry_run:
                _print(chosen.envelope, None, chosen.handlers, as_json)
        return number, selection

    number, counted = with_both(count)
    if not as_json:
        for why, how_many in counted.skipped.items():
            OUT.print(f"Left out: {_count(how_many)}, {why}.", style="dim")
    if dry_run or not number:
        if not as_json:
            OUT.print(f"{_count(number)} would be replayed." if dry_run else "Nothing to replay.")
        raise typer.Exit(1 if wish.ids and not number else 0)
    _ask(f"Replay {_count(number)}?", yes=yes)

    def work(client: Client, _: redis.Redis) -> Awaitable[int]:
        again = Selection(client, wish, known, counted.end)
        return _append(client, lambda: _renewed(again), number, as_json)

    done = with_both(work)
    if done != number:  # some have left the inbox, or were retried or discarded
        (ERR if as_json else OUT).print(f"Replayed: {_count(done)}, of {number} that were counted.")
    elif not as_json:
        OUT.print(f"Replayed: {_count(done)}.")


async def _renewed(selection: Selection) -> AsyncIterator[Item]:
    async for chosen in selection:
        yield _renew(chosen)


def _renew(chosen: Chosen) -> Item:
    envelope, mark = chosen.renewed(new_id(time.time_ns() // 1_000_000))
    return envelope, mark, chosen.handlers


def _backfill(file: Path, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    number = 0
    for envelope in backfill.read(file):  # all of it, before anything is stored
        number += 1
        if dry_run:
            _print(envelope, None, None, as_json)
    if dry_run:
        if not as_json:
            OUT.print(f"{_count(number)} would be stored.")
        return
    _ask(f"Store {_count(number)}?", yes=yes)

    async def items() -> AsyncIterator[Item]:
        for envelope in islice(backfill.read(file), number):  # it may have grown
            yield envelope, None, None

    done = with_both(lambda client, _: _append(client, items, number, as_json))
    if done != number:
        raise ReceiverError(
            f"{_count(done)} of {number} were stored: {file} has become shorter since they were counted. See "
            "that it is whole, and store it again: messages that were stored before run no handler then "
            "(RECEIVER_DEDUPE_WINDOW)."
        )
    if not as_json:
        OUT.print(f"Stored: {_count(done)}.")


async def _append(client: Client, items: Items, total: int, as_json: bool) -> int:
    """Append everything in groups, with a bar that tells how far that is; return how many there were."""
    feeder, group, size, done = Feeder(client, limit=beside.load().inbox_limit), list[Item](), 0, 0
    with Progress(console=ERR, transient=True) as progress:
        task = progress.add_task("Storing", total=total)

        async def flush() -> None:
            nonlocal size, done
            while group:
                try:
                    stored = await feeder.append(
                        [envelope for envelope, _, _ in group],
                        [mark for _, mark, _ in group if mark is not None],
                    )
                except NotStored as error:
                    told = f"{_count(done)} of {total} were stored, then no more: {error}"
                    raise ReceiverError(told) from None
                except (redis.RedisError, OSError):
                    ERR.print(f"{_count(done)} of {total} were stored, and perhaps the next {len(group)}.")
                    raise
                done += stored
                progress.update(task, completed=done)
                if as_json:
                    for envelope, _, handlers in group[:stored]:
                        _print(envelope, envelope.id, handlers, as_json)
                del group[:stored]
            size = 0

        async for item in items():
            group.append(item)
            size += len(item[0].body)
            if len(group) == AT_ONCE or size > BYTES:
                await flush()
        await flush()
    return done


def _print(envelope: Envelope, new: str | None, handlers: tuple[str, ...] | None, as_json: bool) -> None:
    """Print an event that is replayed as the event `new`, or that would be."""
    if as_json:
        told: dict[str, Any] = {
            "id": new,
            "of": envelope.replay_of if new else envelope.id,
            "category": envelope.category,
            "conversation": envelope.conversation,
            "handlers": handlers,
        }
        print_json(told, lines=True)
        return
    line = Text.assemble(
        (show_time(envelope.received), "dim"), "  ", envelope.id, "  ", (envelope.category, "bold"), "  "
    )
    line.append(harmless(envelope.conversation))
    if handlers is not None:
        line.append(f"  → {', '.join(handlers)}", "cyan")
    print_line(line)


def _ask(question: str, *, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _count(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"
