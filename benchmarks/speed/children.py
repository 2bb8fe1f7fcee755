"""The processes of a run. They end with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.speed import cores
from benchmarks.speed.options import ROOT
from receiver.children import die_with_parent

OURS = (sys.executable, "-P", "-m", "receiver")
STARTS_WITHIN = 60.0


class Failed(Exception):
    """A contestant did not do what it should. The message says what it said."""


class Child:
    """A process in a session of its own, on `on` (cores), whose words go to `log`."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        on: Iterable[int] = cores.ALL,
    ) -> None:
        self._log = log
        self.began = time.perf_counter()
        die, on = die_with_parent(), set(on)

        def prepare() -> None:
            die()
            os.sched_setaffinity(0, on)

        with log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - the commands are ours
                list(command),
                env=os.environ | dict(environment or {}),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509 - no threads here
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def check(self) -> None:
        """Make sure that it lives.

        Raises:
            Failed: it has ended.
        """
        if self.process.poll() is not None:
            raise Failed(f"it ended with {self.process.returncode}: {self.said()}")

    def said(self) -> str:
        """Return the end of what it wrote."""
        return self._log.read_text(errors="replace")[-1500:]

    def wait_for(self, condition: Callable[[], bool], what: str, within: float = STARTS_WITHIN) -> float:
        """Wait until `condition` holds; return the seconds since the start.

        Raises:
            Failed: it ended, or took too long.
        """
        deadline = time.perf_counter() + within
        while not condition():
            self.check()
            if time.perf_counter() > deadline:
                raise Failed(f"waited {within:g} s for {what}: {self.said()}")
            time.sleep(0.002)
        return time.perf_counter() - self.began

    def wait_for_page(self, url: str) -> float:
        """Wait until `url` answers anything at all; return the seconds since the start."""

        def answers() -> bool:
            try:
                urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own address
            except urllib.error.HTTPError:
                return True
            except OSError:
                return False
            return True

        return self.wait_for(answers, f"{url} to answer")

    def end(self) -> None:
        """End it as an operator would, and kill what doesn't end within 5 s."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.kill()

    def kill(self) -> None:
        """Kill it and all below it: for what has been measured already."""
        for one in cores.tree(self.pid):
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def python_of(name: str) -> str:
    """Return the Python of a contestant that can't share ours."""
    return str(Path(sys.prefix) / name / "bin" / "python")
