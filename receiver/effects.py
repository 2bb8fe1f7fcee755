"""What is remembered of a delivery's side effects."""

from __future__ import annotations

import asyncio
from typing import Protocol

from redis.exceptions import RedisError

TRIES = 3
PAUSE = 0.5
"""Seconds between tries to remember that something has happened. It can't be undone."""


class Effects(Protocol):
    """Remembers which side effects of a delivery have succeeded."""

    async def happened(self, key: str) -> bool:
        """Tell whether the effect `key` succeeded in an earlier attempt."""
        ...

    async def record(self, key: str) -> None:
        """Remember that the effect `key` succeeded."""
        ...


class First:
    """Whether an effect is to happen now: true, or false. Knows whether it was `asked`."""

    __slots__ = ("_value", "asked")

    def __init__(self, value: bool) -> None:
        self._value = value
        self.asked = False

    def __bool__(self) -> bool:
        """Return whether it is to happen."""
        self.asked = True
        return self._value


async def remember(effects: Effects, key: str) -> None:
    """Have `effects` remember that `key` succeeded, also if the caller is cancelled, or Redis away a moment.

    Raises:
        RedisError, OSError: it could not be remembered.
    """
    await asyncio.shield(_record(effects, key))


async def _record(effects: Effects, key: str) -> None:
    for left in reversed(range(TRIES)):
        try:
            await effects.record(key)
        except (RedisError, OSError):
            if not left:
                raise
            await asyncio.sleep(PAUSE)
        else:
            return
