"""Intake: headers and bytes in, an accepted envelope or a rejection out. No I/O.

It proves where a request comes from, and reads just what the road needs to know: the category, the
conversation, the identity. Everything else is left to the handler's side, so that an odd payload is
stored all the same.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

from pydantic import SecretStr

from receiver import signature
from receiver.errors import Rejected
from receiver.events import desk
from receiver.events.catalogue import CATEGORIES
from receiver.events.classifying import Unclassifiable, classify
from receiver.events.envelope import Envelope, Source
from receiver.events.identity import digest
from receiver.events.parsing import NotJSON, parse, storable
from receiver.origins import Application, Origins


def new_id(received: int) -> str:
    """Return a new event id: 12 hex digits of the time of receipt (ms), and 12 of chance."""
    return f"{received:012x}{os.urandom(6).hex()}"


@dataclass(frozen=True, slots=True)
class BotClaim:
    """What a bot callback says of its origin, before that is proved."""

    userid: str
    token: str
    data: dict[str, Any]
    body: bytes


class Intake:
    """Accepts or rejects requests.

    `origins` tell whose signature a webhook has; plain tokens are those of the only application. `secret`
    lets unsigned ones in, `desk_token` those of Desk.
    """

    def __init__(
        self,
        origins: Origins | Iterable[bytes],
        secret: str | None = None,
        desk_token: str | None = None,
    ) -> None:
        self._origins = origins if isinstance(origins, Origins) else _only(origins)
        # Where there is none, one that nobody can guess: a request takes as long, and gets the same answer.
        self._secret = secret.encode() if secret else os.urandom(32)
        self._desk = signature.DeskKey(desk_token.encode()) if desk_token else None

    def webhook(self, given: bytes | None, body: bytes) -> Envelope:
        """Accept a signed webhook, as `signed` does."""
        return self.signed(given, body)[0]

    def signed(self, given: bytes | None, body: bytes) -> tuple[Envelope, Application]:
        """Accept a signed webhook; return whose it is, too. `given` is its `x-sendbird-signature`.

        The body is read after its signature has been found right: strangers' bytes are never parsed.

        Raises:
            Rejected: unsigned, bad_signature or malformed.
        """
        if given is None:
            raise unsigned()
        matches = self._origins.matches(body, given)
        if not matches:
            raise Rejected(
                401,
                "bad_signature",
                "x-sendbird-signature is not the HMAC-SHA256 of this body under any token in "
                "SENDBIRD_API_TOKEN. It must be the application's master API token, and the body must "
                "arrive unchanged.",
            )
        try:
            return self._signed(matches, body)
        except Rejected as rejected:
            rejected.origin = self._origins.owner(matches).label
            raise

    def _signed(self, matches: int, body: bytes) -> tuple[Envelope, Application]:
        data = _parse(body)
        application = self._origins.signer(matches, data.get("app_id"))
        if application is None:
            raise Rejected(
                401,
                "bad_signature",
                "The body's app_id isn't that of the application whose token has signed it. SENDBIRD_APP_ID "
                "with SENDBIRD_API_TOKEN, and SENDBIRD_APPS, say which tokens are whose.",
            )
        return self._envelope("webhook", data, body), application

    def unsigned_webhook(self, given: str, body: bytes) -> Envelope:
        """Accept an unsigned webhook whose URL ends in the secret.

        Raises:
            Rejected: unknown_path (as if there were nothing here) or malformed.
        """
        self.check_secret(given)
        return self._envelope("webhook", _parse(body), body)

    def check_secret(self, given: str) -> None:
        """Make sure that a URL ends in the secret.

        Raises:
            Rejected: unknown_path.
        """
        # The secret is the second one: the time that the comparison takes goes by the length of that.
        if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._secret):
            raise unknown_path()

    def desk(self, given: bytes | None, body: bytes) -> Envelope:
        """Accept a webhook of Desk. `given` is its `x-hub-signature`.

        Raises:
            Rejected: unknown_path (where no token of Desk is set), unsigned, bad_signature or malformed.
        """
        key, given = self.expect_desk(given)
        if not signature.verify((key,), body, given):
            raise Rejected(
                401,
                "bad_signature",
                "x-hub-signature is not sha1= and the HMAC-SHA1 of this body under SENDBIRD_DESK_TOKEN.",
            )
        return self._envelope("desk", _parse(body), body)

    def expect_desk(self, given: bytes | None) -> tuple[signature.DeskKey, bytes]:
        """Return the key of Desk, and the signature that was given: there must be both.

        Raises:
            Rejected: unknown_path or unsigned.
        """
        if self._desk is None:
            raise unknown_path()
        if given is None:
            raise Rejected(401, "unsigned", "The request has no x-hub-signature, which Desk's webhooks have.")
        return self._desk, given

    def bot_claim(self, body: bytes) -> BotClaim:
        """Read which bot a callback is for, and the token that is to prove its origin.

        Raises:
            Rejected: malformed, or bad_bot_token where there is none.
        """
        data = _parse(body)
        bot = data.get("bot")
        userid = bot.get("bot_userid") if isinstance(bot, dict) else None
        token = bot.get("bot_token") if isinstance(bot, dict) else None
        if not (_is_text(userid) and _is_text(token)):
            raise Rejected(
                401, "bad_bot_token", "A bot callback names its bot in bot.bot_userid and bot.bot_token."
            )
        return BotClaim(userid, token, data, body)

    def vouched(self, body: bytes, source: Source | None = None) -> Envelope:
        """Accept a body for which somebody vouches. Without a `source`, its category tells it.

        Raises:
            Rejected: malformed.
        """
        data = _parse(body)
        if source is None:
            known = CATEGORIES.get(str(data.get("category")))
            source = "bot" if known is not None and known.source == "bot" else "webhook"
        return self._envelope(source, data, body)

    def signed_callback(self, given: bytes, body: bytes) -> tuple[Envelope, Application, str | None] | None:
        """Accept a bot callback by its signature; None where that proves nothing, and the token must.

        Returns whose it is, too, and the bot's id, where the body names it.

        Raises:
            Rejected: malformed.
        """
        matches = self._origins.matches(body, given)
        if not matches:
            return None
        data = _parse(body)
        application = self._origins.signer(matches, data.get("app_id"))
        if application is None:
            return None
        bot = data.get("bot")
        userid = bot.get("bot_userid") if isinstance(bot, dict) else None
        return self._callback(data, body), application, userid if _is_text(userid) else None

    def is_proved(self, claim: BotClaim, expected: str | None) -> bool:
        """Tell whether the token in `claim` is the `expected` one."""
        return expected is not None and hmac.compare_digest(claim.token.encode(), expected.encode())

    def bot_callback(self, claim: BotClaim, expected: str | None) -> Envelope:
        """Accept the callback behind `claim` if its token is the `expected` one.

        Raises:
            Rejected: bad_bot_token; malformed, also where a bot's token would vouch for what only a
                signature can prove: a webhook.
        """
        if not self.is_proved(claim, expected):
            raise Rejected(
                401,
                "bad_bot_token",
                f"bot.bot_token is not the token of the bot {claim.userid[:100]!r}. Name it in "
                "SENDBIRD_BOT_TOKENS, or set SENDBIRD_APP_ID and SENDBIRD_API_TOKEN so that it can be "
                "looked up.",
            )
        envelope = self._callback(claim.data, claim.body)
        if envelope.category not in CATEGORIES and not envelope.category.startswith("bot_"):
            raise Rejected(
                400, "malformed", "A bot's token vouches for bot callbacks only: bot_message_notification."
            )
        return envelope

    def _callback(self, data: dict[str, Any], body: bytes) -> Envelope:
        envelope = self._envelope("bot", data, body)
        known = CATEGORIES.get(envelope.category)
        if known is not None and known.source != "bot":
            raise Rejected(
                400,
                "malformed",
                f"{envelope.category} is no bot callback but a webhook: those go to /sendbird/webhook.",
            )
        return envelope

    def _envelope(self, source: Source, data: dict[str, Any], body: bytes) -> Envelope:
        try:
            category, conversation, identity = desk.classify(data) if source == "desk" else classify(data)
        except Unclassifiable as error:
            raise Rejected(400, "malformed", str(error)) from None
        if source != "desk" and category.startswith(desk.PREFIX):
            raise Rejected(400, "malformed", "Only what Desk has signed is an event of Desk: /sendbird/desk.")
        received = time.time_ns() // 1_000_000
        event_id = new_id(received)
        return Envelope(
            event_id,
            source,
            category,
            storable(conversation) or event_id,
            digest(identity),
            received,
            body,
        )


def unknown_path() -> Rejected:
    """Return the rejection of a path that leads nowhere."""
    return Rejected(
        404,
        "unknown_path",
        "There is nothing here. Webhooks go to /sendbird/webhook, bot callbacks to /sendbird/bot.",
    )


def _only(tokens: Iterable[bytes]) -> Origins:
    """Return the origins of an application of which only the tokens are known."""
    secrets = tuple(SecretStr(token.decode()) for token in tokens)
    return Origins((Application("", secrets, None),) if secrets else ())


def unsigned() -> Rejected:
    """Return the rejection of a webhook without a signature."""
    return Rejected(
        401,
        "unsigned",
        "The request has no x-sendbird-signature. Sendbird signs its webhooks; send 2016-style, "
        "unsigned ones to /sendbird/webhook/<RECEIVER_WEBHOOK_SECRET>.",
    )


def _is_text(value: Any) -> TypeGuard[str]:
    """Tell whether `value` is text that can be compared and asked for: half an emoji is in no id or token."""
    return isinstance(value, str) and value != "" and value == storable(value)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        data = parse(body)
    except NotJSON as error:
        raise Rejected(400, "malformed", f"The body is not JSON: {error}.") from None
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise Rejected(400, "malformed", f"The body must be a JSON object with a category, not a {kind}.")
    return data
