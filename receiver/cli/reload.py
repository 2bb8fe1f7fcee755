"""New code in a running `receiver dev`: plugins' files are watched, and the workers are replaced.

New workers load the code first. If they can't, the old ones go on; if they can, the old ones are told to
end, which they do as soon as their attempts have, and the new ones begin.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import cache_from_source
from pathlib import Path
from signal import SIGTERM

import orjson
from rich.markup import escape
from watchfiles import Change, DefaultFilter, watch

from receiver.cli.handover import VARIABLE
from receiver.cli.output import ERR
from receiver.cli.processes import STARTS_WITHIN, Processes

TICK = 50
DEBOUNCE = 200
"""Milliseconds: how often is looked, and how long changes are waited for that come together."""
CODE = (".py", ".sql", ".lua", ".html", ".htm", ".css", ".js", ".svg", ".xml", ".jinja", ".jinja2", ".j2")
DATA = (".yaml", ".yml", ".toml", ".json", ".ini", ".cfg", ".txt", ".md", ".csv", ".po", ".mo")
"""What a plugin is made of, by its ending. Other files are likely what it writes."""
INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What new workers have loaded."""

    handlers: tuple[str, ...]
    bots: tuple[str, ...]


@dataclass(slots=True)
class Candidate:
    """Workers that load the new code."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    began: float = field(default_factory=time.monotonic)

    def told(self) -> Loaded | None:
        """Return what it has loaded, if it has."""
        if not select.select([self.line], [], [], 0)[0]:
            return None
        with self.line.makefile("rb") as file:
            text = file.readline()
        if not text:
            return None  # it has ended
        told = orjson.loads(text)
        return Loaded(tuple(told["handlers"]), tuple(told["bots"]))


class Files(DefaultFilter):
    """What counts of the changes: files that plugins are made of."""

    def __call__(self, change: Change, path: str) -> bool:
        """Tell whether the change of `path` counts."""
        return path.endswith(CODE + DATA) and super().__call__(change, path)


def places(names: Iterable[str]) -> tuple[set[Path], set[Path]]:
    """Return the folders of loaded plugins: whole packages, and those of single files.

    What is installed for good is left out.
    """
    packages: set[Path] = set()
    folders: set[Path] = set()
    for name in names:
        if name.endswith(".py"):
            folders.add(Path(name).resolve().parent)
            continue
        top = sys.modules[name.partition(".")[0]]
        if hasattr(top, "__path__"):
            packages.update(Path(path).resolve() for path in top.__path__)
        elif top.__file__:
            folders.add(Path(top.__file__).resolve().parent)
    return _movable(packages), _movable(folders)


def _movable(folders: Iterable[Path]) -> set[Path]:
    return {folder for folder in folders if folder.is_dir() and not set(INSTALLED) & set(folder.parts)}


def changes(packages: Iterable[Path], folders: Iterable[Path]) -> Iterator[set[str]]:
    """Watch from now on; give the files that have changed since the last look, for ever; mostly none."""
    found = [_changes(paths, recursive) for paths, recursive in ((packages, True), (folders, False)) if paths]
    at_once = {path for one in found for path in next(one)}  # the watch begins with its first look

    def looks() -> Iterator[set[str]]:
        yield at_once
        while True:
            if not found:
                time.sleep(TICK / 1000)
            yield {path for one in found for path in next(one)}

    return looks()


def _changes(paths: Iterable[Path], recursive: bool) -> Iterator[set[str]]:
    for found in watch(
        *paths,
        watch_filter=Files(),
        debounce=DEBOUNCE,
        step=TICK,
        rust_timeout=TICK,
        yield_on_timeout=True,
        recursive=recursive,
    ):
        yield {path for _, path in found}


class Reload:
    """Replaces the workers among `processes` when files of their plugins change.

    `handlers` are those that run at first. `loaded` is called with what new workers have loaded, when they
    begin.
    """

    def __init__(
        self,
        processes: Processes,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        handlers: Iterable[str],
        loaded: Callable[[Loaded], None],
    ) -> None:
        self._processes = processes
        self._name = name
        self._arguments = arguments
        self._environment = environment
        self._handlers = set(handlers)
        self._loaded = loaded
        self._candidate: Candidate | None = None

    def run(self, found: Iterable[set[str]]) -> None:
        """Look at changes, and at the processes, until they end."""
        for paths in found:
            self._processes.check()
            if paths:
                self._begin(paths)
            elif self._candidate is not None:
                self._advance(self._candidate)

    def _begin(self, paths: set[str]) -> None:
        """Have new workers load the code. Those that were loading what is old again are given up."""
        if self._candidate is not None:
            self._give_up(self._candidate)
        shown = ", ".join(sorted(os.path.relpath(path) for path in paths))
        ERR.print(f"[bold]Changed:[/bold] {escape(shown)}", soft_wrap=True, highlight=False)
        for path in paths:
            _forget_bytecode(path)
        ours, theirs = socket.socketpair()
        with theirs:
            process = self._processes.launch(
                self._arguments, {**self._environment, VARIABLE: str(theirs.fileno())}, keep=[theirs.fileno()]
            )
        self._candidate = Candidate(process, ours)

    def _advance(self, candidate: Candidate) -> None:
        loaded = candidate.told()
        if loaded is not None:
            self._processes.replace(self._name, candidate.process)
            with contextlib.suppress(OSError):  # it has died since; Processes.check says so
                candidate.line.sendall(b".")
            self._end(candidate)
            took = time.monotonic() - candidate.began
            ERR.print(f"[green]Reloaded[/green] in {took:.1f} s: {escape(', '.join(loaded.handlers))}")
            for gone in sorted(self._handlers - set(loaded.handlers)):
                ERR.print(
                    f"{escape(gone)} is gone: its events wait until it is back, or is forgotten", style="dim"
                )
            self._handlers = set(loaded.handlers)
            self._loaded(loaded)
        elif candidate.process.poll() is not None:
            self._end(candidate)
            self._keep(f"(The new workers ended with exit code {candidate.process.poll()}; see above.)")
        elif time.monotonic() - candidate.began > STARTS_WITHIN:
            self._give_up(candidate)
            self._keep(f"It did not load within {STARTS_WITHIN:g} s.")

    def _keep(self, why: str) -> None:
        ERR.print(f"[yellow]Not reloaded: the handlers run on as they were.[/yellow] {why}", soft_wrap=True)

    def _give_up(self, candidate: Candidate) -> None:
        if candidate.process.poll() is None:
            candidate.process.send_signal(SIGTERM)
        self._end(candidate)

    def _end(self, candidate: Candidate) -> None:
        candidate.line.close()
        self._candidate = None


def _forget_bytecode(path: str) -> None:
    """Drop what is compiled of a file: Python knows its age in whole seconds only."""
    if path.endswith(".py"):
        with contextlib.suppress(OSError):
            Path(cache_from_source(path)).unlink()
