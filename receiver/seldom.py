"""What would be said again and again is said once a minute."""

from __future__ import annotations

import time

EVERY = 60.0
"""Seconds."""


class Seldom:
    """True at most once in `EVERY` seconds, for each name."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def __call__(self, name: str) -> bool:
        """Tell whether it is time to say `name` again."""
        now = time.monotonic()
        if now - self._said.get(name, -EVERY) < EVERY:
            return False
        self._said[name] = now
        return True
