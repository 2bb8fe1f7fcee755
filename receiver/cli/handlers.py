"""`receiver handlers`: which handlers there are, and what they want."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from receiver import plugins, settings
from receiver.cli.output import OUT, print_json
from receiver.pipeline.routes import queue_of
from receiver.plugins import Handler


def handlers(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the handlers that RECEIVER_HANDLERS, or the installed plugins, bring."""
    found = plugins.load(settings.load().handlers)
    if as_json:
        print_json([_describe(handler) for handler in found.values()])
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Handler", "Wants", "Retries", "Timeout", "RQ queue", "What it does"):
        table.add_column(heading, overflow="fold")
    for handler in found.values():
        table.add_row(
            handler.name,
            Text(_wants(handler)),
            str(handler.retries),
            f"{handler.timeout:g} s",
            queue_of(handler.name),
            Text(handler.summary),
        )
    OUT.print(table)


def _describe(handler: Handler) -> dict[str, Any]:
    return {
        "name": handler.name,
        "filter": asdict(handler.filter),
        "predicate": handler.where is not None,
        "retries": handler.retries,
        "timeout": handler.timeout,
        "concurrency": handler.concurrency,
        "queue": queue_of(handler.name),
        "summary": handler.summary,
        "source": handler.source,
    }


def _wants(handler: Handler) -> str:
    wanted = handler.filter
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
