"""Who may send in a fuzz run, and the proof of it, worked out without the receiver's own code."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import unquote_to_bytes

from receiver.samples import API_TOKEN, APP_ID, BOT, BOT_TOKEN

OTHER_TOKEN = "the-second-token-of-the-fuzz-run"  # noqa: S105 - it protects nothing
FOREIGN_TOKEN, FOREIGN_APP = "the-token-of-another-application", "FOREIGN-APPLICATION"
SECRET = "the-secret-of-the-fuzz-run"  # noqa: S105 - as above
DESK_TOKEN = "the-desk-token-of-the-fuzz-run"  # noqa: S105 - as above
SECRETS = tuple(
    one.encode() for one in (API_TOKEN, OTHER_TOKEN, FOREIGN_TOKEN, SECRET, DESK_TOKEN, BOT_TOKEN)
)
ENVIRONMENT = {
    "SENDBIRD_APP_ID": APP_ID,
    "SENDBIRD_APPS": f"{FOREIGN_APP}:{FOREIGN_TOKEN}",
    "SENDBIRD_API_URL": "http://127.0.0.1:9/v3",
    "SENDBIRD_API_TOKEN": f"{OTHER_TOKEN},{API_TOKEN}",
    "SENDBIRD_BOT_TOKENS": f"{BOT}:{BOT_TOKEN}",
    "SENDBIRD_DESK_TOKEN": DESK_TOKEN,
    "RECEIVER_WEBHOOK_SECRET": SECRET,
}

__all__ = ["API_TOKEN", "APP_ID", "BOT", "BOT_TOKEN"]


def sign(body: bytes, token: str = API_TOKEN) -> bytes:
    """Return what Sendbird would put into x-sendbird-signature."""
    return hmac.new(token.encode(), body, hashlib.sha256).hexdigest().encode()


def sign_desk(body: bytes) -> bytes:
    """Return what Desk would put into x-hub-signature."""
    return b"sha1=" + hmac.new(DESK_TOKEN.encode(), body, hashlib.sha1).hexdigest().encode()


def is_proved(source: str, body: bytes, sent: bytes) -> bool:
    """Tell whether something in `sent` proves where `body` comes from, for an event of this source."""
    signed = any(sign(body, token) in sent for token in (API_TOKEN, OTHER_TOKEN))
    signed |= sign(body, FOREIGN_TOKEN) in sent and not is_ours(body)
    if source == "webhook":
        return signed or SECRET.encode() in unquote_to_bytes(sent)
    if source == "desk":
        return sign_desk(body) in sent
    return source == "bot" and (signed or names_the_bot(body))


def is_ours(body: bytes) -> bool:
    """Tell whether `body` names the application whose tokens are API_TOKEN and OTHER_TOKEN."""
    data = _read(body)
    return isinstance(data, dict) and data.get("app_id") == APP_ID


def names_the_bot(body: bytes) -> bool:
    """Tell whether `body` carries the token of the bot that it names."""
    data = _read(body)
    bot = data.get("bot") if isinstance(data, dict) else None
    return isinstance(bot, dict) and bot.get("bot_userid") == BOT and bot.get("bot_token") == BOT_TOKEN


def _read(body: bytes) -> Any:
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
