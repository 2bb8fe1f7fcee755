"""SIGHUP is held back until somebody answers it, and ends no process meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

from receiver import hangup

HELD = """
import asyncio, os, signal
from receiver import hangup

async def main():
    seen = asyncio.Event()
    os.kill(os.getpid(), signal.SIGHUP)
    with hangup.answered(seen.set):
        await seen.wait()
        print("answered what was held back")
        seen.clear()
        os.kill(os.getpid(), signal.SIGHUP)
        await seen.wait()
        print("answered another one")
    os.kill(os.getpid(), signal.SIGHUP)

with hangup.held():
    asyncio.run(main())
print("lives")
os.kill(os.getpid(), signal.SIGHUP)
print("never printed")
"""


def test_held_and_answered():
    """What comes before the loop is ready is answered then; outside the block the signal ends a process."""
    ran = subprocess.run(
        [sys.executable, "-uc", HELD], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout.splitlines() == ["answered what was held back", "answered another one", "lives"]
    assert ran.returncode == -signal.SIGHUP


def test_came():
    """A signal that is held back is found once."""
    with hangup.held():
        assert not hangup.came()
        os.kill(os.getpid(), signal.SIGHUP)
        assert hangup.came()
        assert not hangup.came()


async def test_in_a_thread():
    """Where the loop isn't the main thread's nothing is answered, and nothing fails."""

    async def use():
        with hangup.answered(lambda: None):
            return True

    assert await asyncio.to_thread(asyncio.run, use())
