"""What --help shows of a docstring: its paragraphs, which the terminal wraps, and not we as well."""

from __future__ import annotations

import inspect
from typing import Any

import typer

COMMANDS = ("receiver ", "rq ", "export ")
"""What lines begin with that are typed in: those stay as they are."""


def reflow(app: typer.Typer) -> None:
    """Have `app`, its commands and its groups show their docstrings so."""
    for command in app.registered_commands:
        command.help = of(command.callback)
    for group in app.registered_groups:
        inner = group.typer_instance
        if inner is None:
            continue
        reflow(inner)
        if inner.registered_callback is not None:
            group.short_help = inner.info.help  # beside the others
            group.help = of(inner.registered_callback.callback)


def of(function: Any) -> str:
    """Return a function's docstring with each paragraph on one line."""
    return flowing(inspect.getdoc(function) or "")


def flowing(text: str) -> str:
    """Return a text with each paragraph on one line, but for those that are commands."""
    return "\n\n".join(map(_paragraph, text.strip().split("\n\n")))


def _paragraph(text: str) -> str:
    lines = text.splitlines()
    if all(line.startswith(COMMANDS) for line in lines):
        return text
    return " ".join(line.strip() for line in lines)
