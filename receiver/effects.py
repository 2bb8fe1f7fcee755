"""What is remembered of a delivery's side effects."""

from __future__ import annotations

from typing import Protocol


class Effects(Protocol):
    """Remembers which side effects of a delivery have succeeded."""

    async def happened(self, key: str) -> bool:
        """Tell whether the effect `key` succeeded in an earlier attempt."""
        ...

    async def record(self, key: str) -> None:
        """Remember that the effect `key` succeeded."""
        ...
