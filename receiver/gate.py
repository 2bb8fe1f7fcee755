"""Who is let in: the judges of the routes, made of the settings, and replaced when these are read anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Scope

from receiver import body, signature
from receiver.bot_tokens import ATTEMPTS, BotTokens, Budget
from receiver.endpoint import ORIGIN
from receiver.errors import NotStored, Rejected, SendbirdError
from receiver.events.envelope import Envelope
from receiver.intake import BotClaim, Intake, unsigned
from receiver.origins import DESK, NAMELESS, UNSIGNED, Application, Origins, applications, mark
from receiver.sendbird.platform import Platform
from receiver.settings import Settings

SETTINGS = frozenset(
    {
        "app_id",
        "api_tokens",
        "apps",
        "api_url",
        "bot_tokens",
        "desk_token",
        "webhook_secret",
        "legacy_signature",
        "encryption_keys",
    }
)
"""These settings count as soon as they are read anew."""


class Bots:
    """The bots of every application: their tokens, and the clients by which these are looked up.

    `learn` is called with the mark of each bot of which a callback was proved; `familiar` are their ids.
    """

    def __init__(self, learn: Callable[[str], Awaitable[None]]) -> None:
        self.familiar: set[str] = set()
        self._learn = learn
        self._budget = Budget()
        self._by_place: dict[tuple[str, str, str], BotTokens] = {}
        self._configured_only = BotTokens({}, None)
        self._platforms: list[Platform] = []

    def of(self, application: Application | None) -> BotTokens:
        """Return the bots of an application, with what is known of them; of None, where none is set up.

        Raises:
            SettingsError: its token can't be one.
        """
        if application is None or application.url is None:
            return self._configured_only
        place = application.id, application.url, application.token
        found = self._by_place.get(place)
        if found is None:
            platform = Platform(application.url, application.token, attempts=ATTEMPTS)
            self._platforms.append(platform)
            found = self._by_place[place] = BotTokens({}, platform, self._budget, self.familiar)
        return found

    async def proved(self, app_id: str, userid: str) -> None:
        """Remember a bot that is one, of this application ("": the first one)."""
        self.familiar.add(userid)
        await self._learn(mark(app_id, userid))

    async def aclose(self) -> None:
        """End the look-ups that still run, and close all connections.

        Clients that the settings name no more are closed only now: a request may be using them, and one that
        isn't used holds no connection for long.
        """
        await asyncio.gather(*(one.aclose() for one in self._by_place.values()))
        await asyncio.gather(*(one.aclose() for one in self._platforms))


class Gate:
    """Judges requests by some settings.

    Raises:
        SettingsError: a token can't be one.
    """

    def __init__(self, config: Settings, bots: Bots) -> None:
        self.config = config
        known = applications(config)
        secret, desk_token = config.webhook_secret, config.desk_token
        self.origins = Origins(known)
        self.intake = Intake(
            self.origins,
            secret.get_secret_value() if secret else None,
            desk_token.get_secret_value() if desk_token else None,
        )
        self._legacy = config.legacy_signature
        self._bots = bots
        self._tokens = {one.id: bots.of(one) for one in known} or {"": bots.of(None)}
        configured = [config.bot_tokens, *({} for _ in known[1:])]  # those that are set are of the first one
        for tokens, named in zip(self._tokens.values(), configured, strict=True):
            tokens.configure(named)

    def await_signature(self, scope: Scope) -> None:
        """Refuse a webhook without a signature by its head."""
        if self._signature(scope) is None:
            raise unsigned()

    def await_secret(self, scope: Scope) -> None:
        """Refuse an unsigned webhook by its path."""
        self.intake.check_secret(scope["path"].rpartition("/")[2])

    def await_desk(self, scope: Scope) -> None:
        """Refuse a webhook of Desk by its head: where none are taken, or without a signature."""
        self.intake.expect_desk(body.header(scope["headers"], signature.DESK_HEADER))

    async def webhook(self, scope: Scope, content: bytes) -> Envelope:
        """Judge a signed webhook."""
        envelope, application = self.intake.signed(self._signature(scope), content)
        scope[ORIGIN] = application.label
        return envelope

    async def unsigned_webhook(self, scope: Scope, content: bytes) -> Envelope:
        """Judge a webhook whose URL holds the secret."""
        try:
            envelope = self.intake.unsigned_webhook(scope["path"].rpartition("/")[2], content)
        except Rejected as rejected:
            raise _from(UNSIGNED, rejected) from None
        scope[ORIGIN] = UNSIGNED
        return envelope

    async def desk(self, scope: Scope, content: bytes) -> Envelope:
        """Judge a webhook of Desk."""
        try:
            envelope = self.intake.desk(body.header(scope["headers"], signature.DESK_HEADER), content)
        except Rejected as rejected:
            raise _from(DESK, rejected) from None
        scope[ORIGIN] = DESK
        return envelope

    async def bot_callback(self, scope: Scope, content: bytes) -> Envelope:
        """Judge a bot callback, by its signature or else by its token.

        A wrong signature refuses nothing: by which key Sendbird signs callbacks is not confirmed.
        """
        given = self._signature(scope)
        signed = self.intake.signed_callback(given, content) if given is not None else None
        if signed is not None:
            envelope, application, userid = signed
            scope[ORIGIN] = application.label
            if userid is not None:
                await self._bots.proved(self._prefix(application), userid)
            return envelope
        claim = self.intake.bot_claim(content)
        owner = self.origins.of(claim.data.get("app_id"))
        envelope = self.intake.bot_callback(claim, await self._expected(claim, owner))
        scope[ORIGIN] = owner.label if owner is not None else NAMELESS
        await self._bots.proved(self._prefix(owner), claim.userid)
        return envelope

    async def _expected(self, claim: BotClaim, application: Application | None) -> str | None:
        """Return the token that the claim's bot has in this application; None if there is no such bot."""
        if application is None and self.origins.known:
            return None
        tokens = self._tokens[application.id if application is not None else ""]
        try:
            expected = await tokens.find(claim.userid)
            if expected is not None and not self.intake.is_proved(claim, expected):
                expected = await tokens.find_again(claim.userid)
        except SendbirdError as error:
            raise NotStored(f"The bot's token could not be looked up: {error}") from error
        return expected

    def _prefix(self, application: Application | None) -> str:
        return "" if application is None or application is self.origins.known[0] else application.id

    def _signature(self, scope: Scope) -> bytes | None:
        given = body.header(scope["headers"], signature.HEADER)
        if given is None and self._legacy:
            return body.header(scope["headers"], signature.LEGACY_HEADER)
        return given


def _from(origin: str, rejected: Rejected) -> Rejected:
    """Say whose request was refused, where that was proved: what is malformed was judged after that."""
    if rejected.code == "malformed":
        rejected.origin = origin
    return rejected
