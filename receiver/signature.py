"""Sendbird's proof of origin for webhooks.

`x-sendbird-signature` is the lowercase hex HMAC-SHA256 of the raw request body, keyed with the
application's API token, without a prefix. (Sendbird, Chat Platform API, "Webhooks: signature".)
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

HEADER = b"x-sendbird-signature"


class Key:
    """A token, ready to sign: HMAC has taken it in already, and needn't with every body."""

    def __init__(self, token: bytes) -> None:
        self._empty = hmac.new(token, digestmod=sha256)

    def sign(self, body: bytes) -> bytes:
        """Return the signature of `body`: 64 lowercase hex digits."""
        one = self._empty.copy()
        one.update(body)
        return one.hexdigest().encode()


def sign(token: bytes, body: bytes) -> bytes:
    """Return the signature of `body` under `token`: 64 lowercase hex digits."""
    return Key(token).sign(body)


def verify(keys: Iterable[Key], body: bytes, signature: bytes) -> bool:
    """Tell whether `signature` belongs to `body` under any of `keys`.

    Every key is tried and each comparison takes constant time, whatever the bytes are.
    """
    genuine = False
    for key in keys:
        genuine |= hmac.compare_digest(key.sign(body), signature)
    return genuine
