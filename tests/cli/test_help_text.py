"""--help: wrapped once, by the terminal; and what is typed in stands on one line."""

from __future__ import annotations

from itertools import pairwise

import pytest
import typer

from receiver.cli import VERBS, build, help_text

ROOT = typer.main.get_command(build(tuple(VERBS)))


def every(command, name=()):
    """Give every command with the words that call it."""
    yield name, command
    for verb, inner in getattr(command, "commands", {}).items():
        yield from every(inner, (*name, verb))


EVERY = dict(every(ROOT))


@pytest.mark.parametrize(
    ("text", "flowing"),
    [
        ("One.\n\nTwo lines\nof text.\n", "One.\n\nTwo lines of text."),
        ("See:\n\nreceiver a\nreceiver b\n\nEnd\nof it.", "See:\n\nreceiver a\nreceiver b\n\nEnd of it."),
        ("receiver a\nis no command here.", "receiver a is no command here."),
        ("", ""),
    ],
)
def test_flowing(text, flowing):
    """A paragraph is a line; commands keep theirs."""
    assert help_text.flowing(text) == flowing


@pytest.mark.parametrize(("columns", "name"), [(80, name) for name in EVERY] + [(120, ("serve",))])
def test_wrapped_once(run, monkeypatch, columns, name):
    """No line of a text ends before the next one's first word would not fit; no command is wrapped."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    code, out, _ = run(*name, "--help")
    assert code == 0
    lines = out.partition("\u256d")[0].splitlines()[2:]
    lines = [line.strip() for line in lines]
    for line, after in pairwise(lines):
        if line and after and not after.startswith(help_text.COMMANDS):
            assert len(line) + 1 + len(after.split()[0]) > columns - 2, (line, after)
            assert not line.startswith(help_text.COMMANDS), (line, after)


def test_groups():
    """A verb of several shows all of its text, and the list of verbs a sentence that covers all of it."""
    assert "receiver events --follow" in EVERY["events",].help
    assert "Handlers that were loaded before" in EVERY["handlers",].help
    assert EVERY["handlers",].get_short_help_str(100) == "List the handlers, show one, or forget one."
