"""The command line: `receiver VERB`. Each verb is a function in a module of its own."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from receiver import logs, redaction
from receiver.cli import help_text
from receiver.errors import ReceiverError

VERBS = {
    "dev": "receiver.cli.dev",
    "serve": "receiver.cli.serve",
    "work": "receiver.cli.work",
    "sandbox": "receiver.cli.sandbox",
    "trigger": "receiver.cli.trigger",
    "events": "receiver.cli.events",
    "replay": "receiver.cli.replay",
    "dead-letters": "receiver.cli.dead_letters",
    "handlers": "receiver.cli.handlers",
    "doctor": "receiver.cli.doctor",
    "bench": "receiver.cli.bench",
    "new": "receiver.cli.new",
}

HELP = """Receive Sendbird webhooks and bot callbacks: store each, then run handlers on it.

Start with [bold]receiver dev[/bold]: everything on this machine, with a chat page and a bot that answers.

In production, [bold]receiver serve[/bold] takes the requests, and [bold]receiver work[/bold] runs
the handlers. Settings come from the environment, or from receiver.toml.
"""


def build(verbs: tuple[str, ...]) -> typer.Typer:
    """Return the command line with `verbs`."""
    app = typer.Typer(
        name="receiver",
        help=help_text.flowing(HELP),
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=True,
    )

    @app.callback()
    def receiver(
        version: Annotated[
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        pass

    for verb in verbs:
        found = getattr(import_module(VERBS[verb]), verb.replace("-", "_"))
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=verb)
        else:
            app.command(name=verb)(found)
    help_text.reflow(app)
    return app


def main() -> None:
    """Run the command line. Exit codes: 0, 1 (it failed), 2 (wrong usage)."""
    wanted = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    verbs = (wanted,) if wanted in VERBS else tuple(VERBS)  # one verb's modules load faster than all
    with logs.guarded():
        _run(verbs)


def _run(verbs: tuple[str, ...]) -> None:
    try:
        build(verbs)()
    except ReceiverError as error:
        said = escape(redaction.clean(str(error)))
        Console(stderr=True).print(f"[bold red]Error:[/bold red] {said}", soft_wrap=True)
        sys.exit(1)
    except Exception:  # a defect of ours; what is told of it may quote anything
        sys.stderr.write(redaction.clean(traceback.format_exc()))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - rarely asked for, and slow to import

        typer.echo(version("sendbird-receiver"))
        raise typer.Exit
