"""Who gets no more mails of a list, and the links by which people say so."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

PREFIX = "receiver:unsubscribed:"
LONGEST_NAME = 100
"""Characters of a list's name."""
LONGEST_TOKEN = 2_000

_PURPOSE = b"receiver unsubscribe"
_MAC_BYTES = 16
"""128 bits: a token can't be guessed, and the link stays short (RFC 2104, 5, on truncation)."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A person (`user_id`) on a list, such as "digest"."""

    list_name: str
    user_id: str

    def __post_init__(self) -> None:
        if not (0 < len(self.list_name) <= LONGEST_NAME and self.list_name.isprintable()):
            raise ValueError(f"the name of a mail list: expected 1 to {LONGEST_NAME} printable characters")


class Tokens:
    """Signs subscriptions, so that whoever has a link can end his own and nobody else's.

    Args:
        secrets: The API tokens. Any of them verifies, the first one signs: links outlive a rotation.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self.renew(secrets)

    def renew(self, secrets: Sequence[bytes]) -> None:
        """Verify and sign by these secrets from now on."""
        # A key of its own: a token in a link says nothing about what else the secret signs.
        self._keys = [hmac.digest(secret, _PURPOSE, hashlib.sha256) for secret in secrets]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def sign(self, subscription: Subscription) -> str:
        """Return the token of a subscription: letters, digits, - and _."""
        content = orjson.dumps([subscription.list_name, subscription.user_id])
        return base64.urlsafe_b64encode(_mac(self._keys[0], content) + content).rstrip(b"=").decode()

    def open(self, token: str) -> Subscription | None:
        """Return the subscription of a token, or None if we didn't make it."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            return None
        try:
            signed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, content = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(key, content)) for key in self._keys):
            return None
        return Subscription(*orjson.loads(content))


class OptOuts:
    """Who has unsubscribed: a set in Redis for each list. `client` is an asynchronous one."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def add(self, subscription: Subscription) -> None:
        """Unsubscribe."""
        await self._client.sadd(PREFIX + subscription.list_name, subscription.user_id)

    async def remove(self, subscription: Subscription) -> None:
        """Subscribe again."""
        await self._client.srem(PREFIX + subscription.list_name, subscription.user_id)

    async def contains(self, subscription: Subscription) -> bool:
        """Tell whether the person has unsubscribed."""
        return bool(await self._client.sismember(PREFIX + subscription.list_name, subscription.user_id))


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)[:_MAC_BYTES]
