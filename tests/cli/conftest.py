"""The command line in this process, set up by the environment alone."""

from __future__ import annotations

import io
import sys

import pytest

from receiver import settings
from receiver.cli import (
    main,
    output,  # noqa: F401 - its consoles keep the width that they find when it is imported
)


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """No setting in the environment, no file, no `receiver dev` nearby, and no folder left in sys.path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in settings.names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(clean, monkeypatch, capsys):
    """Run `receiver ARGUMENTS`; return the exit code, and what it has printed and complained."""

    def ran(*arguments):
        monkeypatch.setattr(sys, "argv", ["receiver", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            sys.exit(main())
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    return ran


class Terminal(io.StringIO):
    """What a terminal was told to show."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Have what is printed from now on go to a terminal of so many columns; return that."""

    def opened(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")  # a dumb one has always 80
        shown = Terminal()
        monkeypatch.setattr(sys, "stdout", shown)
        return shown

    return opened
