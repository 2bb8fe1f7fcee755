"""Is there a spool to fall back on, and is it empty?"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from receiver.cli.checks.finding import Finding, fail, ok, size, warn
from receiver.pipeline import spool

LITTLE = 2 * 2**20
"""Bytes of free disk with which the spool is of no use."""


def check(data_dir: Path, limit: int) -> list[Finding]:
    """Look at the spool of this machine, without touching it. `limit` is in bytes; 0 is no spool."""
    folder = data_dir / "spool"
    return [_place(folder, limit), _events(folder)]


def _place(folder: Path, limit: int) -> Finding:
    if not limit:
        do = "Set RECEIVER_SPOOL_LIMIT: while Redis is away, every request is refused."
        return warn("Spool", "off", do)
    place = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        do = "Have RECEIVER_DATA_DIR belong to the user that runs `receiver serve`."
        return fail("Spool", f"{folder} can't be written", do)
    free = shutil.disk_usage(place).free
    said = f"{folder}, {size(free)} free"
    if free < LITTLE:
        return fail("Spool", said, "Make room on this disk: while Redis is away, events are refused.")
    if free < limit:
        return warn("Spool", said, f"RECEIVER_SPOOL_LIMIT is {size(limit)}: the disk ends before.")
    return ok("Spool", said)


def _events(folder: Path) -> Finding:
    try:
        count = spool.peek(folder)
    except sqlite3.Error as error:
        do = "Look at its owner, and at the disk."
        return fail("Spooled events", f"{folder} can't be read: {error}", do)
    if count:
        do = "A running `receiver serve` in this folder empties it once Redis takes events again."
        return warn("Spooled events", f"{count}", do)
    return ok("Spooled events", "none")
