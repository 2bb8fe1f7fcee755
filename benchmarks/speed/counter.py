"""Watches how many jobs are done: the file that `jobs/count.py` counts in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.speed.children import Child, Failed
from benchmarks.speed.jobs.count import SLOTS

LOOKS_EVERY = 0.002
BEGINS_WITHIN = 60.0


@dataclass(frozen=True)
class Stretch:
    """What was done from the first that was seen until the last one, or until the time was over."""

    jobs: int
    seconds: float
    pieces: tuple[float, ...] = ()
    """The rate in each fifth of the jobs, where all were done."""

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds if self.seconds else 0.0


class Counter:
    """The file of one worker."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.reset()

    def reset(self) -> None:
        """Begin at 0. A worker that still has the old file counts for nobody."""
        self.file.unlink(missing_ok=True)
        self.file.write_bytes(bytes(SLOTS * 8))

    def read(self) -> int:
        """Return how many are done."""
        return sum(memoryview(self.file.read_bytes()).cast("Q"))

    def watch(self, child: Child, total: int, seconds: float) -> Stretch:
        """Watch until `total` are done, or for `seconds` since the first one.

        Raises:
            Failed: nothing was done, or the worker ended.
        """
        deadline = time.perf_counter() + BEGINS_WITHIN
        while not (begun := self.read()):
            child.check()
            if time.perf_counter() > deadline:
                raise Failed(f"nothing was done within {BEGINS_WITHIN:g} s: {child.said()}")
            time.sleep(LOOKS_EVERY)
        began = at = time.perf_counter()
        done, marks = begun, [(began, begun)]
        while done < total and time.perf_counter() - began < seconds:
            time.sleep(LOOKS_EVERY)
            now, found = time.perf_counter(), self.read()
            if found > done:
                done, at = found, now
                if len(marks) < 5 and done - begun >= (total - begun) * len(marks) / 5:
                    marks.append((at, done))
        child.check()
        marks.append((at, done))
        pieces = tuple(
            (more - less) / (later - sooner)
            for (sooner, less), (later, more) in pairwise(marks)
            if later > sooner
        )
        return Stretch(done - begun, at - began, pieces if done >= total else ())
