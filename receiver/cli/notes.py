"""Notes of a handler that is measured: which message it began, and when."""

from __future__ import annotations

import atexit
import os
import threading
import time
from array import array
from pathlib import Path

from receiver.children import signals_blocked

FILE = "BENCH_NOTES"
"""The variable of the environment that names the file."""
OFTEN = 0.1
"""Seconds between writes."""


class Notes:
    """Numbers and times, in memory, and soon after in a file: a write for each would be measured, too.

    It is made before the workers are forked; each of them writes its own.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._notes: array[int] = array("Q")
        self._written = 0
        os.register_at_fork(after_in_child=self._start)
        atexit.register(self.write)

    def add(self, number: int) -> None:
        """Note that `number` is begun now."""
        self._notes.extend((number, time.time_ns()))

    def write(self) -> None:
        """Write what has been noted since the last time. (Another thread may add to it meanwhile.)"""
        new = self._notes[self._written :]
        if new:
            with self._file.open("ab") as output:
                output.write(new.tobytes())
            self._written += len(new)

    def _start(self) -> None:
        with signals_blocked():
            threading.Thread(target=self._write_often, name="notes", daemon=True).start()

    def _write_often(self) -> None:
        while True:
            time.sleep(OFTEN)
            self.write()


class Reader:
    """Reads a file of notes, a piece at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at = 0

    def read(self) -> list[tuple[int, int]]:
        """Return what is new: numbers, each with its time in nanoseconds since the epoch."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            file.seek(self._at)
            found = file.read()
        values = array("Q", found[: len(found) // 16 * 16])
        self._at += 8 * len(values)
        return list(zip(values[::2], values[1::2], strict=True))
