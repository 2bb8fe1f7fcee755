"""What a pool watches of each worker from outside: its loop, whether it takes jobs, and its memory."""

from __future__ import annotations

import resource
import time
from pathlib import Path

from receiver.pipeline import runtime
from receiver.pipeline.drain import SLICE
from receiver.pipeline.pulse import Pulse, Stillness

GRACE = 2.0
"""Seconds that a worker has to give up by itself: it can say where it stands."""
SLOW_AFTER = SLICE + 2.0
"""Seconds after which a worker that looks for no job has something slow: else its drains give way before."""
MEBIBYTE = 1024 * 1024


class Vitals:
    """The vitals of one worker: the `pulse` of its loop, and how it `looks` for jobs.

    `most` is what it may have in memory, in bytes; None is no limit.
    """

    def __init__(self, pulse: Pulse, looks: Pulse, most: int | None) -> None:
        self.began = time.monotonic()
        self.why = ""
        self._stillness = Stillness(pulse)
        self._absence = Stillness(looks)
        self._pulse = pulse
        self._most = most

    @property
    def lived(self) -> float:
        """For how many seconds it has been there."""
        return time.monotonic() - self.began

    @property
    def slow(self) -> bool:
        """Whether it has looked for no job for so long that nobody should wait for it."""
        return self._absence.seconds > SLOW_AFTER

    def look(self, pid: int) -> str:
        """Return why this worker can't go on, or ''. Looks at everything else, too."""
        self._absence.look()
        still = self._stillness.look()
        if self._pulse.beats and still > runtime.STUCK_AFTER + GRACE:
            self.why = f"its event loop stood still for {still:.0f} s"
        elif self._most is not None and (used := memory_of(pid)) > self._most:
            self.why = (
                f"it used {used / MEBIBYTE:.0f} MiB of memory, and RECEIVER_WORKER_MEMORY "
                f"allows {self._most / MEBIBYTE:.0f} MiB"
            )
        return self.why


def memory_of(pid: int) -> int:
    """Return the bytes of memory that a process occupies, or 0 where that can't be told."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * resource.getpagesize()
