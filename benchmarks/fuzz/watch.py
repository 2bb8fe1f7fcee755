"""What a process notes while it tries inputs: how many, how fast, how much memory, and what was found."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import hashlib
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

WARM = 0.2
"""The part of a run after which memory is looked at for the first time."""
FLAT = 8 * 2**20
"""Bytes that a process may have grown by from then to the end, and still be called flat."""
KEPT = 20
"""Findings of one kind that are kept as files."""


def resident(pid: int | None = None) -> int:
    """Return the bytes of memory that a process has."""
    pages = Path(f"/proc/{pid or os.getpid()}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _trim() -> None:
    """Give back what is free: how much of that the C library keeps is chance."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class Watch:
    """Counts the inputs of one part of a run. `report` is the file that tells how it stands."""

    def __init__(self, part: str, wanted: int, seconds: float, folder: Path) -> None:
        self.part = part
        self.wanted = wanted
        self.report = folder / f"{part}.json"
        self.done = 0
        self.findings: Counter[str] = Counter()
        self.files: list[str] = []
        self.memory: dict[str, int] = {}
        self.more: dict[str, Any] = {}
        self._folder = folder
        self._started = time.monotonic()
        self._ends = self._started + seconds
        self._warm = max(1, int(wanted * WARM))

    @property
    def over(self) -> bool:
        """Whether it is enough."""
        return self.done >= self.wanted or (self.done % 100 == 0 and time.monotonic() > self._ends)

    def note(self, data: bytes, trouble: str, pid: int | None = None) -> None:
        """Note an input, and what was wrong with what came of it, if anything."""
        self.done += 1
        if trouble:
            self._keep(data, trouble)
        if self.done == self._warm:
            self.look(pid)
        if self.done % 2000 == 0:
            self.tell()

    def look(self, pid: int | None = None) -> None:
        """Look at the memory."""
        gc.collect()
        if pid is None:
            _trim()
        now = {"bytes": resident(pid)} | ({} if pid else {"blocks": sys.getallocatedblocks()})
        when = "end" if self.memory else "warm"
        self.memory |= {f"{name} {when}": value for name, value in now.items()}

    def end(self, pid: int | None = None) -> None:
        """Note that it is over."""
        self.look(pid)
        self.tell(ended=True)

    def tell(self, *, ended: bool = False) -> None:
        """Write down how it stands."""
        seconds = time.monotonic() - self._started
        told = {
            "part": self.part,
            "inputs": self.done,
            "wanted": self.wanted,
            "seconds": round(seconds, 1),
            "ended": ended,
            "memory": self.memory,
            "findings": dict(self.findings),
            "files": self.files,
            **self.more,
        }
        fresh = self.report.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
        fresh.replace(self.report)

    def _keep(self, data: bytes, trouble: str) -> None:
        kind = trouble.partition("\n")[0][:120]
        self.findings[kind] += 1
        if self.findings[kind] <= KEPT:
            name = f"{self.part}-{hashlib.sha256(data).hexdigest()[:12]}"
            (self._folder / f"{name}.bin").write_bytes(data)
            (self._folder / f"{name}.txt").write_text(trouble + "\n")
            self.files.append(f"{name}.bin")
        self.tell()
