"""Sendbird's proof of origin for webhooks.

`x-sendbird-signature` is the lowercase hex HMAC-SHA256 of the raw request body, keyed with the
application's API token, without a prefix. (Sendbird, Chat Platform API, "Webhooks: signature".)
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

HEADER = b"x-sendbird-signature"


def sign(token: bytes, body: bytes) -> bytes:
    """Return the signature of `body` under `token`: 64 lowercase hex digits."""
    return hmac.digest(token, body, hashlib.sha256).hex().encode()


def verify(tokens: Iterable[bytes], body: bytes, signature: bytes) -> bool:
    """Tell whether `signature` belongs to `body` under any of `tokens`.

    Every token is tried and each comparison takes constant time, whatever the bytes are.
    """
    genuine = False
    for token in tokens:
        genuine |= hmac.compare_digest(sign(token, body), signature)
    return genuine
