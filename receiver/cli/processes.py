"""A process tree that ends together: what `receiver dev` starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import httpx

from receiver.children import die_with_parent, signals_blocked
from receiver.errors import ReceiverError

STARTS_WITHIN = 60.0
ENDS_WITHIN = 15.0
NOTHING: Mapping[str, Callable[[], int | None]] = {}
HURRIES_AFTER = 10.0
"""Seconds after which what still runs is told a second time: workers then cut off their attempts."""


class Processes:
    """Started children by name, each a `receiver VERB` of its own.

    They can't do without what they `need`, which somebody else ends: each tells its exit code, or None.
    """

    def __init__(self, need: Mapping[str, Callable[[], int | None]] = NOTHING) -> None:
        self._need = need
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._loose: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        quiet: bool = False,
        log: Path | None = None,
        without: Collection[str] = (),
    ) -> None:
        """Start `receiver ARGUMENTS`. It is told to end when this process dies, however that happens.

        A `quiet` one may log, but not print. With a `log` it does neither, but writes there, and runs in
        that folder. It gets this environment `without` some names, and `environment`.
        """
        self._running[name] = self.launch(arguments, environment, quiet=quiet, log=log, without=without)
        self._loose.remove(self._running[name])

    def launch(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        quiet: bool = False,
        keep: Collection[int] = (),
        log: Path | None = None,
        without: Collection[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start `receiver ARGUMENTS` like `start`, but as one that may end by itself.

        It inherits the file descriptors `keep`.
        """
        inherited = {name: value for name, value in os.environ.items() if name not in without}
        # A Ctrl-C that comes while Python forks would be lost: it waits until that is done.
        with log.open("ab") if log else contextlib.nullcontext() as output, signals_blocked():
            process = subprocess.Popen(  # noqa: S603 - the arguments are ours
                # -P: the working directory, where handlers may be, must not hide what is installed
                [sys.executable, "-P", "-m", "receiver", *arguments],
                env={**inherited, **environment},
                stdout=subprocess.DEVNULL if quiet else output,
                stderr=output,
                cwd=log.parent if log else None,
                start_new_session=True,  # Ctrl-C is for this process: it ends the others in order
                pass_fds=keep,
                preexec_fn=_begin(),  # noqa: PLW1509 - a thread that watches files takes no lock of ours
            )
            self._loose.append(process)
        return process

    def replace(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Have a launched process be the one of `name` from now on, and tell the one before it to end."""
        before = self._running[name]
        self._running[name] = process
        self._loose[self._loose.index(process)] = before
        if before.poll() is None:
            before.send_signal(signal.SIGTERM)

    def wait_for(self, name: str, url: str) -> None:
        """Wait until `url` answers 200.

        Raises:
            ReceiverError: the child ended, or took too long.
        """
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(url, timeout=2).status_code == 200:
                    return
            time.sleep(0.05)
        raise ReceiverError(f"{name} did not answer at {url} within {STARTS_WITHIN:g} s")

    def check(self) -> None:
        """Make sure that all are alive.

        Raises:
            ReceiverError: one has ended.
        """
        self._loose = [process for process in self._loose if process.poll() is None]
        running = {name: process.poll for name, process in self._running.items()}
        for name, poll in {**self._need, **running}.items():
            if (code := poll()) is not None:
                raise ReceiverError(f"{name} ended unexpectedly (exit code {code}); see above")

    def stop(self) -> None:
        """End all, the last one first; kill what doesn't end in time."""
        everything = [*self._running.values(), *self._loose]
        for patience in (HURRIES_AFTER, ENDS_WITHIN - HURRIES_AFTER):
            for process in reversed(everything):
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + patience
            for process in everything:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.1, deadline - time.monotonic()))
        for process in everything:
            if process.poll() is None:
                process.kill()
                process.wait()
        self._running.clear()
        self._loose.clear()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()


def _begin() -> Callable[[], None]:
    """Return what a new child does first: it ends with its parent, and takes signals again."""
    ask = die_with_parent()

    def begin() -> None:
        ask()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})

    return begin
