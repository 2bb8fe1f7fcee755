"""Cores: who runs where, and how long they ran."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

ALL = sorted(os.sched_getaffinity(0))
SERVER = ALL[:1]
"""Where what is measured runs."""
LOAD = ALL[1:2] or ALL
"""Where that which is not measured runs beside it: the load, and Redis."""
_TICK = os.sysconf("SC_CLK_TCK")


def pin(pid: int, cores: Iterable[int]) -> None:
    """Keep a process, with all its threads, on `cores`. What it starts from now on stays there, too."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all below it; none if it is gone."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def spent(pid: int) -> float:
    """Return the seconds of processor time of a process, of all below it, and of those that have ended."""
    total = 0
    for process in tree(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
    return total / _TICK


def memory(pid: int) -> list[dict[str, int | str]]:
    """Return RSS and PSS (what is shared counts once), in bytes, of a process and of each one below it."""
    found: list[dict[str, int | str]] = []
    for process in tree(pid):
        with suppress(OSError, psutil.Error):
            sizes = {
                line.split(":")[0]: int(line.split()[1]) * 1024
                for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
            }
            found.append({"pid": process.pid, "rss": sizes["Rss"], "pss": sizes["Pss"]})
    return found


def description() -> str:
    """Say who is pinned where, for a table."""
    return f"what is measured: core {SERVER[0]}; load and Redis: core {LOAD[0]}; of {len(ALL)}"
