"""The bytes that Sendbird puts on the wire.

Compact JSON, `/` sent as `\\/`, everything beyond ASCII as `\\uXXXX`; the signature is over these
bytes, never over re-serialised JSON. (Seen in captures of real webhooks; see docs/sendbird.md.)
"""

from __future__ import annotations

import json
from typing import Any

from receiver import signature

USER_AGENT = "SendBird"


def encode(payload: Any) -> bytes:
    """Return `payload` as Sendbird would send it."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=True).replace("/", "\\/").encode("ascii")


def headers(body: bytes, token: str) -> dict[str, str]:
    """Return the headers Sendbird sends with `body`, signed under the API token `token`."""
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "x-sendbird-signature": signature.sign(token.encode(), body).decode(),
    }
