"""What a stage keeps in place of Redis."""

from __future__ import annotations

from collections import defaultdict

from receiver.cipher import PLAIN


class Kept:
    """The few commands of Redis that the memory of an attempt, and the mailer, call. Nothing expires.

    Its bodies are in memory, and not encrypted.
    """

    keyring = PLAIN

    def __init__(self) -> None:
        self.strings: dict[str, bytes] = {}
        self._hashes: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        self._sets: defaultdict[str, set[str]] = defaultdict(set)

    async def get(self, key: str) -> bytes | None:
        """Return a string."""
        return self.strings.get(key)

    async def hexists(self, key: str, field: str) -> bool:
        """Tell whether a hash has a field."""
        return field in self._hashes[key]

    async def hset(self, key: str, field: str, value: str) -> int:
        """Set a field of a hash."""
        self._hashes[key][field] = value.encode()
        return 1

    async def sismember(self, key: str, member: str) -> bool:
        """Tell whether a set has a member."""
        return member in self._sets[key]

    async def sadd(self, key: str, member: str) -> int:
        """Add a member to a set."""
        self._sets[key].add(member)
        return 1
