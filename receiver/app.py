"""The ASGI application: what a receiver process holds, its routes, and the lifespan of its connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import orjson
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from receiver import body, garbage, logs, metrics, settings, signature
from receiver.bot_tokens import BotTokens
from receiver.endpoint import Endpoint, Front, Judge, refusal
from receiver.errors import NotStored, SendbirdError
from receiver.events.envelope import Envelope
from receiver.intake import Intake, unknown_path
from receiver.mail.pages import UnsubscribePages
from receiver.mail.unsubscribe import OptOuts, Tokens
from receiver.metrics import IntakeMetrics
from receiver.pipeline import keys
from receiver.pipeline.connection import connect
from receiver.pipeline.inbox import Inbox
from receiver.pipeline.storage import Storage
from receiver.sendbird.platform import Platform
from receiver.settings import Settings


class Receiver:
    """What one receiver process holds, and the answers it gives."""

    def __init__(self, config: Settings) -> None:
        if config.redis_url is None:
            raise settings.missing("redis_url", "The receiver stores every event there before it answers.")
        secret = config.webhook_secret
        self.config = config
        self.client = connect(config.redis_url, timeout=config.store_timeout)
        self.inbox = Inbox(self.client)
        self.storage = Storage(
            self.client,
            config.data_dir / "spool",
            limit=config.inbox_limit,
            spool_limit=config.spool_limit,
        )
        self.intake = Intake(config.api_keys, secret.get_secret_value() if secret else None)
        self.platform = (
            Platform(config.platform_url, config.api_tokens[0].get_secret_value())
            if config.api_tokens and (config.api_url or config.app_id)
            else None
        )
        self.bot_tokens = BotTokens(config.bot_tokens, self.platform)
        self.unsubscribe = UnsubscribePages(Tokens(config.api_keys), OptOuts(self.client))
        self.metrics = IntakeMetrics()
        self._known_bots: set[str] = set()

    async def judge_webhook(self, scope: Scope, content: bytes) -> Envelope:
        """Judge a signed webhook."""
        return self.intake.webhook(body.header(scope["headers"], signature.HEADER), content)

    async def judge_unsigned_webhook(self, scope: Scope, content: bytes) -> Envelope:
        """Judge a webhook whose URL holds the secret."""
        return self.intake.unsigned_webhook(scope["path"].rpartition("/")[2], content)

    async def judge_bot_callback(self, scope: Scope, content: bytes) -> Envelope:
        """Judge a bot callback."""
        claim = self.intake.bot_claim(content)
        try:
            expected = await self.bot_tokens.find(claim.userid)
            if expected is not None and not self.intake.is_proved(claim, expected):
                expected = await self.bot_tokens.find_again(claim.userid)
        except SendbirdError as error:
            raise NotStored(f"The bot's token could not be looked up: {error}") from error
        envelope = self.intake.bot_callback(claim, expected)
        await self._learn_bot(claim.userid)
        return envelope

    async def _learn_bot(self, userid: str) -> None:
        """Remember that this user is a bot, so that webhooks of its messages are marked."""
        if userid not in self._known_bots and not self.storage.spooling:
            with suppress(RedisError, OSError, TimeoutError):  # its next callback will do
                await self.client.sadd(keys.BOTS, userid)
                self._known_bots.add(userid)

    async def healthz(self, request: Request) -> Response:
        """The process lives."""
        return _json(200, {"ok": True})

    async def readyz(self, request: Request) -> Response:
        """The process can store: in the inbox, or else in the spool."""
        told: dict[str, Any] = {"inbox": "ok"}
        try:
            told["spooled"], _ = await self.storage.spooled()
        except NotStored as error:
            told["spool"] = str(error)
        try:
            await self.inbox.ready()
        except NotStored as error:
            told["inbox"] = str(error)
        needs_spool = told["inbox"] != "ok" or self.storage.spooling
        ready = not needs_spool or await self.storage.can_spool()
        return _json(200 if ready else 503, {"ready": ready, **told})

    async def show_metrics(self, request: Request) -> Response:
        """What Prometheus reads. While Redis is away, what this process itself knows."""
        with suppress(NotStored):  # the file can't be read, which the log says
            events, size = await self.storage.spooled()
            self.metrics.spool_events = events
            self.metrics.spool_bytes = size
        try:
            length = await self.inbox.length()
            states = await self.client.hvals(keys.LANES)
            lanes = sum(state != b"lingering" for state in states)
            stored = await self.client.hgetall(keys.STATS)
        except (RedisError, OSError, TimeoutError):
            return Response(metrics.render_intake(self.metrics), media_type=metrics.CONTENT_TYPE)
        stats = {name.decode(): int(value) for name, value in stored.items()}
        page = metrics.render(self.metrics, length, lanes, stats)
        return Response(page, media_type=metrics.CONTENT_TYPE)


def _json(status: int, content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        wanted = "POST" if "POST" in allowed else "GET"
        message = f"{request.method} is not understood here. Send a {wanted}."
        told = refusal("method_not_allowed", message)
    else:
        rejected = unknown_path()
        told = refusal(rejected.code, rejected.message)
    response = _json(error.status_code, told)
    response.headers.update(error.headers or {})
    return response


def create(config: Settings | None = None) -> Front:
    """Return the application; the settings are read if none are given. (uvicorn calls this factory.)

    Raises:
        SettingsError: a setting is wrong or missing.
    """
    if config is None:
        config = settings.load()
        logs.guard()
        logs.configure(config.log_format)
        garbage.settle()
    receiver = Receiver(config)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(receiver.client.aclose)
            if receiver.platform is not None:
                stack.push_async_callback(receiver.platform.aclose)
            stack.push_async_callback(receiver.bot_tokens.aclose)
            await receiver.storage.open()
            stack.push_async_callback(receiver.storage.close)
            yield

    def endpoint(path: str, judge: Judge) -> Endpoint:
        return Endpoint(
            path,
            judge,
            receiver.storage,
            receiver.metrics,
            limit=config.max_body,
            patience=config.body_timeout,
        )

    webhook = endpoint("/sendbird/webhook", receiver.judge_webhook)
    unsigned_webhook = endpoint("/sendbird/webhook/{secret}", receiver.judge_unsigned_webhook)
    bot = endpoint("/sendbird/bot", receiver.judge_bot_callback)
    others = Starlette(
        routes=[
            *(Route(one.path, one, methods=["POST"]) for one in (webhook, unsigned_webhook, bot)),
            Route("/healthz", receiver.healthz),
            Route("/readyz", receiver.readyz),
            Route("/metrics", receiver.show_metrics),
            *receiver.unsubscribe.routes(),
        ],
        exception_handlers={HTTPException: _explain},
        lifespan=lifespan,
    )
    others.router.redirect_slashes = False
    at = {webhook.path: webhook, bot.path: bot}
    return Front(at, {webhook.path: unsigned_webhook}, others)
