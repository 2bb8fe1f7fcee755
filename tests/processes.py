"""Real processes under test: they end with the test, and a test waits for what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ENDS_WITHIN = 30.0


def wait_for(condition, *, within=60.0, what="the condition"):
    """Wait until `condition()` is true, and return what it gave."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {within:g} s")


class Process:
    """A started command and what it has printed."""

    def __init__(self, arguments, environment, log, folder=None):
        self.log = Path(log)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                arguments,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                start_new_session=True,
                # A shell that runs the suite in the background has it ignore SIGINT.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one call
            )
        self.pid = self._process.pid

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    @property
    def exit_code(self):
        return self._process.poll()

    def send(self, number):
        self._process.send_signal(number)

    def kill(self):
        """kill -9 of this process alone."""
        self._process.kill()
        self._process.wait()

    def kill_group(self):
        """kill -9 of the process and of all it has started in its group."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self, number=signal.SIGTERM):
        """End it with a signal, and return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill_group()
            raise AssertionError(f"it did not end within {ENDS_WITHIN:g} s:\n{self.output}") from None


@contextmanager
def running(arguments, environment, log, folder=None):
    """Run a command for the length of a block, in this folder or in `folder`."""
    process = Process(arguments, environment, log, folder)
    try:
        yield process
    finally:
        process.stop()


def receiver(*arguments):
    """The command line of `receiver ARGUMENTS`."""
    return [sys.executable, "-m", "receiver", *map(str, arguments)]
