"""Proofs that somebody knows a token, and how often that may be tried."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from hashlib import sha256

from pydantic import SecretStr
from starlette.types import Scope

from receiver.allowance import Allowance


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
        self._most = most
        self._every = every
        self._addresses = addresses
        self._clock = clock
        self._used: dict[str, Allowance] = {}

    def wait(self, address: str) -> float:
        """Return how many seconds an address has to wait before its next try; 0 if it may try now."""
        used = self._used.get(self._key(address))
        return used.wait() if used is not None else 0.0

    def failed(self, address: str) -> None:
        """Count a try that was in vain."""
        key = self._key(address)
        used = self._used.get(key)
        if used is None:
            used = self._used[key] = Allowance(self._most, self._every, clock=self._clock)
        used.use()

    def _key(self, address: str) -> str:
        if address in self._used or len(self._used) < self._addresses:
            return address
        self._used = {key: used for key, used in self._used.items() if not used.is_whole}
        return address if len(self._used) < self._addresses else "others"
