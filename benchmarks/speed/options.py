"""What a run is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
One = TypeVar("One")


@dataclass(frozen=True)
class Options:
    """`rounds` and `seconds` are those of each part, unless they are given. `only` are parts of names."""

    rounds: int = 5
    seconds: float | None = None
    only: tuple[str, ...] = ()
    out: Path = RESULTS
    million: int = 1_000_000

    def wanted(self, every: Sequence[One], name: Callable[[One], str]) -> list[One]:
        """Return those of `every` whose name holds one of the words in `only`; all, without any."""
        return [one for one in every if not self.only or any(word in name(one) for word in self.only)]


def rotated(every: Sequence[One], number: int) -> list[One]:
    """Return `every` in the order of round `number`: each begins with another one."""
    at = number % len(every) if every else 0
    return [*every[at:], *every[:at]]
