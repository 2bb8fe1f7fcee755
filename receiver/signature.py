"""Sendbird's proof of origin for webhooks.

`x-sendbird-signature` is the lowercase hex HMAC-SHA256 of the raw request body, keyed with the
application's API token, without a prefix. (Sendbird, Chat Platform API, "Webhooks: signature".)
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

HEADER = b"x-sendbird-signature"
_BLOCK = 64
"""Bytes that SHA-256 takes in at a time: HMAC makes a key as long."""


class Key:
    """A token, ready to sign: HMAC's two hashes (RFC 2104, 2) have taken it in already.

    `hmac` takes it in again with every body, which doubles what a signature costs.
    """

    def __init__(self, token: bytes) -> None:
        block = (sha256(token).digest() if len(token) > _BLOCK else token).ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def sign(self, body: bytes) -> bytes:
        """Return the signature of `body`: 64 lowercase hex digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(body)
        outer.update(inner.digest())
        return outer.hexdigest().encode()


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
