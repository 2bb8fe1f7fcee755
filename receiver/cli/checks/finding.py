"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table: what was looked at, how it is, and what to do about it."""

    what: str
    status: Status
    says: str
    do: str = ""


def ok(what: str, says: str) -> Finding:
    """Nothing to do."""
    return Finding(what, "ok", says)


def warn(what: str, says: str, do: str) -> Finding:
    """It works, and could end badly."""
    return Finding(what, "warn", says, do)


def fail(what: str, says: str, do: str) -> Finding:
    """It doesn't work."""
    return Finding(what, "fail", says, do)


def ago(milliseconds: float) -> str:
    """Return a span of time as a person would say it."""
    seconds = max(0.0, milliseconds / 1000)
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Return a number of bytes as a person would say it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
