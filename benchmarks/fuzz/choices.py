"""Decisions read from bytes: whoever makes the bytes (chance, atheris, Hypothesis) makes the decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Option = TypeVar("Option")


class Choices:
    """Reads decisions off `data`. Where it has run out, every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return max(0, len(self._data) - self._at)

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1."""
        size = 1 if limit <= 256 else 2 if limit <= 65536 else 4
        return int.from_bytes(self.take(size)) % limit

    def pick(self, options: Sequence[Option]) -> Option:
        """Return one of `options`."""
        return options[self.below(len(options))]

    def one_in(self, times: int) -> bool:
        """Tell yes once in `times`, and no where the bytes have run out."""
        return self.below(times) == times - 1

    def take(self, size: int) -> bytes:
        """Return up to `size` bytes as they are."""
        found = self._data[self._at : self._at + size]
        self._at += size
        return found

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(self.left)
