"""Proofs that somebody knows a token, and how often that may be tried."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from hashlib import sha256

from pydantic import SecretStr
from starlette.types import Scope


def same(given: bytes, wanted: SecretStr) -> bool:
    """Tell whether `given` is the secret, in a time that says nothing about either, its length included."""
    expected = wanted.get_secret_value().encode()
    return hmac.compare_digest(sha256(given).digest(), sha256(expected).digest())


def bearer(scope: Scope) -> bytes | None:
    """Return what stands in `Authorization: Bearer …`, if a request has that header once."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, rest = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    return rest.strip() if scheme.lower() == b"bearer" else None


class Tries:
    """How often a token may be tried in vain: `most` times from an address, then once in `every` seconds.

    It remembers a limited number of addresses. Beyond, all others count as one.
    """

    def __init__(
        self,
        most: int = 5,
        every: float = 12.0,
        *,
        addresses: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowance = (most - 1) * every
        self._every = every
        self._addresses = addresses
        self._clock = clock
        self._paid_at: dict[str, float] = {}
        """When the tries of an address are forgotten."""

    def wait(self, address: str) -> float:
        """Return how many seconds an address has to wait before its next try; 0 if it may try now."""
        owed = self._paid_at.get(self._key(address), 0.0) - self._clock()
        return max(0.0, owed - self._allowance)

    def failed(self, address: str) -> None:
        """Count a try that was in vain."""
        key, now = self._key(address), self._clock()
        self._paid_at[key] = max(self._paid_at.get(key, 0.0), now) + self._every

    def _key(self, address: str) -> str:
        if address in self._paid_at or len(self._paid_at) < self._addresses:
            return address
        now = self._clock()
        self._paid_at = {key: paid_at for key, paid_at in self._paid_at.items() if paid_at > now}
        return address if len(self._paid_at) < self._addresses else "others"
