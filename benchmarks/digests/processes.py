"""Our own processes: started, waited for, and weighed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import psutil


def start(arguments: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start one of our own processes."""
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "receiver", *arguments],
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        )


def memory_of(pid: int) -> float:
    """Return the memory of a process and all below it, in MB; what they share counts once (PSS)."""
    top = psutil.Process(pid)
    total = 0
    for process in (top, *top.children(recursive=True)):
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 2**20


async def wait_until_ready(port: int) -> None:
    """Return when the receiver takes events."""
    async with httpx.AsyncClient() as client:
        for _ in range(300):
            try:
                if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise SystemExit("receiver serve is not ready after 30 s")
