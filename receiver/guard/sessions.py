"""Who has logged in: a cookie that only someone who knows the token can have made."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Callable

from pydantic import SecretStr
from starlette.requests import HTTPConnection
from starlette.types import Scope

LASTS = 12 * 3600
"""Seconds."""
_NAME = "receiver-session"
_PURPOSE = b"receiver: who has logged in"


class Sessions:
    """Sessions of one token. No state is needed to know them, so every process does, after a restart, too.

    What one process has ended it remembers until the session would have been over; another process that
    serves the same pages doesn't know. A new token ends all of them everywhere.
    """

    def __init__(
        self, token: SecretStr, *, https: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        # A key of its own: a session's signature can't be used anywhere else.
        self._key = hmac.digest(token.get_secret_value().encode(), _PURPOSE, "sha256")
        self._https = https
        self._clock = clock
        self._ended: dict[bytes, int] = {}

    def begin(self, scope: Scope) -> str:
        """Return the `Set-Cookie` of a new session."""
        said = (int(self._clock()) + LASTS).to_bytes(8) + secrets.token_bytes(16)
        value = base64.urlsafe_b64encode(said + self._sign(said)).decode().rstrip("=")
        return self._cookie(scope, value, LASTS)

    def holds(self, scope: Scope) -> bool:
        """Tell whether a request belongs to a session."""
        return self._open(scope) is not None

    def end(self, scope: Scope) -> str:
        """End a request's session; return the `Set-Cookie` that has its browser forget it."""
        said = self._open(scope)
        if said is not None:
            now = self._clock()
            self._ended = {one: expiry for one, expiry in self._ended.items() if expiry > now}
            self._ended[said] = int.from_bytes(said[:8])
        return self._cookie(scope, "", 0)

    def _open(self, scope: Scope) -> bytes | None:
        value = HTTPConnection(scope).cookies.get(self._name(scope), "")
        try:
            content = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        said, signature = content[:24], content[24:]
        if not hmac.compare_digest(signature, self._sign(said)) or said in self._ended:
            return None
        return said if int.from_bytes(said[:8]) > self._clock() else None

    def _sign(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, "sha256")

    def _is_https(self, scope: Scope) -> bool:
        # A header that lies harms who sent it: the browser keeps its cookie for HTTPS.
        forwarded = (b"x-forwarded-proto", b"https") in scope["headers"]
        return self._https or forwarded or scope["scheme"] in ("https", "wss")

    def _name(self, scope: Scope) -> str:
        # Only HTTPS sites can set this prefix, and no other site of the same domain can.
        return f"__Host-{_NAME}" if self._is_https(scope) else _NAME

    def _cookie(self, scope: Scope, value: str, age: int) -> str:
        secure = "; Secure" if self._is_https(scope) else ""
        return f"{self._name(scope)}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"
