"""`receiver events purge`: removes what is stored of a person, and proves it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import structlog
import typer
from rich.progress import Progress, TaskID
from rich.table import Table

from receiver import logs
from receiver.cli import beside
from receiver.cli.output import ERR, OUT, print_json, with_redis
from receiver.events.person import Person
from receiver.pipeline.connection import Client
from receiver.pipeline.purge import Done, Found, Options, Purge
from receiver.pipeline.purge_keys import OPT_OUTS_PLACE
from receiver.pipeline.removal import Tell
from receiver.settings import Settings

_log = structlog.get_logger("receiver.purge")


def purge(
    user: Annotated[str, typer.Option(help="The user id, as Sendbird has it.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what there is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    keep_waiting: Annotated[
        bool, typer.Option("--keep-waiting", help="Leave what waits for a handler: repeat this later.")
    ] = False,
    opt_outs: Annotated[
        bool, typer.Option("--opt-outs", help="Also forget which mails this person doesn't want.")
    ] = False,
    no_rewrite: Annotated[
        bool, typer.Option("--no-rewrite", help="Leave Redis's memory and files to Redis.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove what is stored of a person, and look for it again.

    Every event that names the person goes, whole: as sender, member, reader, mentioned or reported, whoever
    has sent it. So do dead letters, gathered batches, what handlers remember, and what is in this machine's
    spool. What waits for a handler is never delivered then. Exit code 1 if anything is left,
    or can't be read.
    """
    if not user:
        raise typer.BadParameter("expected a user id", param_hint="--user")
    config, person = beside.load(), Person(user)
    options = Options(keep_waiting=keep_waiting, opt_outs=opt_outs, rewrite=not no_rewrite)

    def task(client: Client, tell: Tell) -> Purge:
        folder = config.data_dir / "spool"
        limit = int(config.spool_limit)
        return Purge(client, person, folder, spool_limit=limit, tell=tell, options=options)

    with _progress() as tell:
        found = with_redis(lambda client: task(client, tell).look())
    if dry_run or not (yes or as_json):
        _show(found, None, config, as_json=as_json)
    if dry_run:
        raise typer.Exit(1 if found.tally.unreadable else 0)
    if not yes:
        typer.confirm("Remove all this? It can't be brought back.", abort=True, err=True)
    with _progress() as tell:
        done = with_redis(lambda client: task(client, tell).remove(found))
    _tell_the_log(config, person, done)
    _show(found, done, config, as_json=as_json)
    raise typer.Exit(0 if _is_complete(done) else 1)


@contextmanager
def _progress() -> Iterator[Tell]:
    """Show how far a walk is: a million events take a while."""
    with Progress(console=ERR, transient=True, disable=not ERR.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(place: str, done: int, total: int) -> None:
            if place not in tasks:
                tasks[place] = progress.add_task(f"Looking into {place}")
            progress.update(tasks[place], completed=done, total=total)

        yield tell


def _is_complete(done: Done) -> bool:
    kept = {place for place, number in done.after.tally.kept.items() if number}
    return not (done.after.left or done.after.tally.unreadable or kept - {OPT_OUTS_PLACE})


def _tell_the_log(config: Settings, person: Person, done: Done) -> None:
    """Leave a line for an audit. The person stands in it as a digest that needs the API token."""
    logs.configure(config.log_format)
    digest = None
    if config.api_keys:
        said = b"receiver purge\0" + person.user_id.encode("utf-8", "surrogatepass")
        digest = hmac.digest(config.api_keys[0], said, hashlib.sha256).hex()[:32]
    complete = _is_complete(done)
    _log.info(
        "a person's data was removed" if complete else "a person's data was not removed, or not all of it",
        person=digest,
        removed={place: number for place, number in done.removed.items() if number},
        left=sum(done.after.left.values()),
        complete=complete,
    )


def _describe(found: Found, done: Done | None, config: Settings) -> dict[str, Any]:
    tally = done.after.tally if done else found.tally
    told: dict[str, Any] = {
        "found": {place: number for place, number in found.tally.found.items() if number},
        "waiting": len(found.waiting),
        "unreadable": tally.unreadable,
        "spool": (config.data_dir / "spool" / "events.spool").exists(),
    }
    if done is not None:
        told |= {
            "removed": {place: number for place, number in done.removed.items() if number},
            "kept": {place: number for place, number in tally.kept.items() if number},
            "left": done.after.left,
            "redis": {"inbox": done.rewritten.inbox, "files": done.rewritten.files},
            "complete": _is_complete(done),
        }
    return told


def _show(found: Found, done: Done | None, config: Settings, *, as_json: bool) -> None:
    told = _describe(found, done, config)
    if as_json:
        print_json(told)
        return
    kept, left = told.get("kept", {}), told.get("left", {})
    places = dict.fromkeys([*told["found"], *kept, *left])
    if not places:
        what = "What can be read has nothing" if told["unreadable"] else "Nothing is stored"
        OUT.print(f"{what} of this person.")
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for heading in ("Where", "Found", *(("Removed", "Kept", "Left") if done else ())):
            table.add_column(heading, justify="left" if heading == "Where" else "right")
        for place in places:
            numbers = [told["found"].get(place, 0)]
            if done:
                numbers += [told["removed"].get(place, 0), kept.get(place, 0), left.get(place, 0)]
            table.add_row(place, *map(str, numbers))
        OUT.print(table)
    _explain(told, done)


def _explain(told: dict[str, Any], done: Done | None) -> None:
    if told["waiting"]:
        verb = "waited" if done else "wait"
        OUT.print(f"{told['waiting']} of the events {verb} for a handler.", style="yellow")
    if told["unreadable"]:
        OUT.print(
            f"{told['unreadable']} bodies can't be read, so nobody can tell of them: put the keys that "
            "`receiver doctor` names into RECEIVER_ENCRYPTION_KEYS, and repeat this.",
            style="red",
        )
    if not told["spool"]:
        OUT.print("No spool is here. Run this on each machine where `receiver serve` keeps one.", style="dim")
    if done is None:
        return
    OUT.print(
        f"The inbox in Redis: {done.rewritten.inbox}. Redis's files: {done.rewritten.files}.", style="dim"
    )
    if told["complete"]:
        OUT.print("A second look has found nothing that should have gone.", style="green")
    else:
        OUT.print("It is not known that all of it is gone: see above, and repeat this.", style="bold red")
