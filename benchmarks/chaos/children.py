"""The processes of a chaos run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent.parent


class Child:
    """A process of ours, in a group of its own, that is started again when it was killed."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self._arguments = arguments
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "receiver", *self._arguments],
                env=os.environ | self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=ROOT,
            )

    @property
    def tree(self) -> list[psutil.Process]:
        """The process and all below it."""
        assert self._process is not None
        top = psutil.Process(self._process.pid)
        return [top, *top.children(recursive=True)]

    def kill(self) -> None:
        """kill -9 of the process and all below it."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> int:
        """End it as an operator would; return its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(60)
