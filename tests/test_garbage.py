"""The garbage collector of a process that takes requests."""

from __future__ import annotations

import subprocess
import sys

from tests.support import API_TOKEN

SHOW = """
import gc
from receiver import app
app.create()
print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 5_000, gc.isenabled())
"""


def test_settled(tmp_path):
    """A server process has put aside what it imported, and still collects what comes after, if seldom."""
    environment = {"RECEIVER_REDIS_URL": "redis://localhost:1", "SENDBIRD_API_TOKEN": API_TOKEN}
    shown = subprocess.run(
        [sys.executable, "-c", SHOW],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "True True True\n"
