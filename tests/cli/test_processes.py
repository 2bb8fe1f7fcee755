"""The process tree of `receiver dev`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from receiver import ports
from receiver.cli.processes import Processes
from receiver.errors import ReceiverError
from tests.support import eventually


@pytest.mark.usefixtures("clean")
def test_working_directory_hides_nothing(tmp_path):
    """A file in the working directory that is called like what we import isn't taken for it."""
    (tmp_path / "redis.py").write_text("raise SystemExit(7)\n")
    with Processes() as processes:
        processes.start("the list", ["handlers", "--json"], os.environ, quiet=True)

        def ended():
            try:
                processes.check()
            except ReceiverError as error:
                return str(error)
            return ""

        assert eventually(ended) == "the list ended unexpectedly (exit code 0); see above"


def test_what_they_need():
    """Whoever can't do without something is told when it has ended."""
    codes = [None, -9]
    processes = Processes({"Redis": lambda: codes[0]})
    processes.check()
    codes.pop(0)
    with pytest.raises(ReceiverError, match=r"^Redis ended unexpectedly \(exit code -9\); see above$"):
        processes.check()


INTERRUPTED = """
import os, signal, sys
from receiver.cli.processes import Processes

signal.signal(signal.SIGINT, signal.default_int_handler)
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))
processes = Processes()
try:
    processes.launch(["--version"], {}, quiet=True)
except KeyboardInterrupt:
    processes.stop()
    sys.exit(7)
"""


def test_ctrl_c_while_a_child_is_started():
    """It isn't lost, wherever it falls."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], timeout=60, check=False)
    assert ended.returncode == 7


def test_a_child_takes_signals(tmp_path):
    """What is held back while it is started is not held back in it."""
    processes = Processes()
    process = processes.launch(
        ["sandbox", "--port", str(ports.free())], {"RECEIVER_DATA_DIR": str(tmp_path)}, log=tmp_path / "log"
    )
    masks = Path(f"/proc/{process.pid}/status")

    def blocked():
        [mask] = [line.split()[1] for line in masks.read_text().splitlines() if line.startswith("SigBlk")]
        return int(mask, 16) & (1 << signal.SIGINT - 1 | 1 << signal.SIGTERM - 1)

    eventually(lambda: not blocked())
    processes.stop()
    assert process.returncode in (0, -signal.SIGTERM)
