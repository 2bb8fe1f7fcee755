"""SIGHUP is held back until somebody answers it, and ends no process meanwhile."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from receiver import hangup

PREAMBLE = """
import asyncio, os, signal, sys, threading
from receiver import hangup

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started this may ignore it
if sys.argv[1] == "with another thread":
    threading.Thread(target=threading.Event().wait, daemon=True).start()  # which doesn't block it

def hang_up():
    os.kill(os.getpid(), signal.SIGHUP)
"""

HELD = """
async def main():
    seen = asyncio.Event()
    hang_up()
    with hangup.answered(seen.set):
        await seen.wait()
        print("answered what was held back")
        seen.clear()
        hang_up()
        await seen.wait()
        print("answered another one")
    hang_up()

with hangup.held():
    asyncio.run(main())
print("lives")
hang_up()
print("never printed")
"""

CAME = """
with hangup.held():
    print(hangup.came())
    hang_up()
    with hangup.held():
        hang_up()
    print(hangup.came(), hangup.came())
    hang_up()
with hangup.held():
    print(hangup.came())
hang_up()
print("never printed")
"""


def run(script, threads):
    """Return the lines that the script writes, until a signal that isn't held back ends it."""
    ran = subprocess.run(
        [sys.executable, "-uc", PREAMBLE + script, threads],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == -signal.SIGHUP
    return ran.stdout.splitlines()


@pytest.mark.parametrize("threads", ["alone", "with another thread"])
def test_held_and_answered(threads):
    """What comes before the loop is ready is answered then; outside the block the signal ends a process."""
    assert run(HELD, threads) == ["answered what was held back", "answered another one", "lives"]


@pytest.mark.parametrize("threads", ["alone", "with another thread"])
def test_came(threads):
    """A signal that is held back is found once, and not after its block."""
    assert run(CAME, threads) == ["False", "True False", "False"]


async def test_in_a_thread():
    """Where the loop isn't the main thread's nothing is answered, and nothing fails."""

    async def use():
        with hangup.answered(lambda: None):
            return True

    assert await asyncio.to_thread(asyncio.run, use())
