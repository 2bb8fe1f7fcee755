"""Sendbird's proofs of origin.

`x-sendbird-signature` is the lowercase hex HMAC-SHA256 of the raw request body, keyed with the
application's API token, without a prefix. (Sendbird, Chat Platform API, "Webhooks: signature".) An older
header, `x-signature`, has been seen beside it with the same value. Desk's webhooks have `x-hub-signature`
instead: `sha1=` and the hex HMAC-SHA1, keyed with Desk's API token. (Sendbird, Desk Platform API,
"Webhooks".)
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from hashlib import sha1, sha256
from typing import Any

HEADER = b"x-sendbird-signature"
LEGACY_HEADER = b"x-signature"
DESK_HEADER = b"x-hub-signature"


class Key:
    """A token, ready to sign: HMAC has taken it in already, and needn't with every body."""

    def __init__(self, token: bytes, algorithm: Callable[..., Any] = sha256) -> None:
        self._empty = hmac.new(token, digestmod=algorithm)

    def sign(self, body: bytes) -> bytes:
        """Return the signature of `body`: lowercase hex digits, 64 with SHA-256."""
        one = self._empty.copy()
        one.update(body)
        return one.hexdigest().encode()


class DeskKey(Key):
    """Desk's token. SHA-1 is Desk's choice; HMAC doesn't need it to be free of collisions (RFC 6151, 2.3)."""

    def __init__(self, token: bytes) -> None:
        super().__init__(token, sha1)

    def sign(self, body: bytes) -> bytes:
        """Return the signature of `body`: `sha1=` and 40 lowercase hex digits."""
        return b"sha1=" + super().sign(body)


def sign(token: bytes, body: bytes) -> bytes:
    """Return the signature of `body` under `token`: 64 lowercase hex digits."""
    return Key(token).sign(body)


def matches(keys: Iterable[Key], body: bytes, signature: bytes) -> int:
    """Tell under which of `keys` `signature` belongs to `body`: the n-th bit stands for the n-th key.

    Every key is tried and each comparison takes constant time, whatever the bytes are: how long it takes
    doesn't tell which one it was.
    """
    found = 0
    for number, key in enumerate(keys):
        found |= hmac.compare_digest(key.sign(body), signature) << number
    return found


def verify(keys: Iterable[Key], body: bytes, signature: bytes) -> bool:
    """Tell whether `signature` belongs to `body` under any of `keys`."""
    return matches(keys, body, signature) != 0
