"""The ASGI application: routes to status codes, and the lifespan that holds its connections.

An event's road begins here: read the body, let intake judge it, store it, answer.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from receiver import body, logs, metrics, settings, signature
from receiver.bot_tokens import BotTokens
from receiver.errors import NotStored, Rejected, SendbirdError
from receiver.events.envelope import Envelope
from receiver.intake import Intake, unknown_path
from receiver.mail.pages import UnsubscribePages
from receiver.mail.unsubscribe import OptOuts, Tokens
from receiver.metrics import IntakeMetrics
from receiver.pipeline import keys
from receiver.pipeline.connection import connect
from receiver.pipeline.inbox import Inbox
from receiver.pipeline.storage import Storage
from receiver.seldom import Seldom
from receiver.sendbird.platform import Platform
from receiver.settings import Settings

Judge = Callable[[Scope, bytes], Awaitable[Envelope]]

WORTH_TELLING = ("bad_signature", "unsigned", "too_large", "too_slow")
"""Refusals that a wrong setting causes, and whose text holds nothing that a stranger has chosen."""

_log = structlog.get_logger("receiver.app")


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
        return self.intake.unsigned_webhook(scope["path_params"]["secret"], content)

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
            self.metrics.spool_events.set(events)
            self.metrics.spool_bytes.set(size)
        try:
            length = await self.inbox.length()
            lanes = int(await self.client.hlen(keys.LANES))
            stored = await self.client.hgetall(keys.STATS)
        except (RedisError, OSError, TimeoutError):
            return Response(metrics.render_intake(self.metrics), media_type=metrics.CONTENT_TYPE)
        stats = {name.decode(): int(value) for name, value in stored.items()}
        page = metrics.render(self.metrics, length, lanes, stats)
        return Response(page, media_type=metrics.CONTENT_TYPE)


class Endpoint:
    """One POST route: a bare ASGI application, since every event passes it."""

    def __init__(self, receiver: Receiver, path: str, judge: Judge) -> None:
        self._receiver = receiver
        self._path = path
        self._seldom = Seldom()
        self._judge = judge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        config = self._receiver.config
        try:
            content = await body.read(
                receive, scope["headers"], limit=config.max_body, patience=config.body_timeout
            )
            arrived = time.perf_counter()
            envelope = await self._judge(scope, content)
            stored = await self._receiver.storage.append(envelope)
        except ClientDisconnect:
            self._count("disconnected")
        except Rejected as rejected:
            self._count(rejected.code, rejected.message if rejected.code in WORTH_TELLING else "")
            unread = rejected.status in (408, 413)
            await _answer(send, rejected.status, _refusal(rejected.code, rejected.message), close=unread)
        except NotStored as error:
            self._count("not_stored")
            retry_after = str(error.retry_after).encode()
            await _answer(
                send, 503, _refusal("not_stored", str(error)), extra=[(b"retry-after", retry_after)]
            )
        except Exception as error:  # a defect of ours: the sender is told so, and tries again
            self._count("error")
            frames = traceback.extract_tb(error.__traceback__)
            # Where, but not what it says: that may quote the body or a token.
            places = [f"{frame.filename}:{frame.lineno}" for frame in frames]
            _log.error("a request failed", path=self._path, error=type(error).__name__, at=places)
            message = "The receiver failed at this request, and has logged where. Nothing says it was stored."
            await _answer(send, 500, _refusal("internal", message))
        else:
            self._receiver.metrics.stored.observe(time.perf_counter() - arrived)
            self._count("accepted")
            await _answer(send, 200, {"accepted": True, "id": envelope.id, "stored": stored})

    def _count(self, outcome: str, message: str = "") -> None:
        """Count a request; say why one is refused, once a minute for each reason."""
        self._receiver.metrics.requests.labels(self._path, outcome).inc()
        if message and self._seldom(outcome):
            _log.warning("requests are refused", path=self._path, code=outcome, why=message)


async def _answer(
    send: Send,
    status: int,
    content: dict[str, Any],
    *,
    close: bool = False,
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    encoded = orjson.dumps(content)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(encoded)).encode()),
        *(extra or ()),
    ]
    if close:  # the rest of the body is still on its way, and nobody will read it
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": encoded})


def _refusal(code: str, message: str) -> dict[str, Any]:
    return {"error": True, "code": code, "message": message}


def _json(status: int, content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        wanted = "POST" if "POST" in allowed else "GET"
        message = f"{request.method} is not understood here. Send a {wanted}."
        refusal = _refusal("method_not_allowed", message)
    else:
        rejected = unknown_path()
        refusal = _refusal(rejected.code, rejected.message)
    response = _json(error.status_code, refusal)
    response.headers.update(error.headers or {})
    return response


def create(config: Settings | None = None) -> Starlette:
    """Return the application; the settings are read if none are given. (uvicorn calls this factory.)

    Raises:
        SettingsError: a setting is wrong or missing.
    """
    if config is None:
        config = settings.load()
        logs.configure(config.log_format)
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

    def post(path: str, judge: Judge) -> Route:
        return Route(path, Endpoint(receiver, path, judge), methods=["POST"])

    app = Starlette(
        routes=[
            post("/sendbird/webhook", receiver.judge_webhook),
            post("/sendbird/webhook/{secret}", receiver.judge_unsigned_webhook),
            post("/sendbird/bot", receiver.judge_bot_callback),
            Route("/healthz", receiver.healthz),
            Route("/readyz", receiver.readyz),
            Route("/metrics", receiver.show_metrics),
            *receiver.unsubscribe.routes(),
        ],
        exception_handlers={HTTPException: _explain},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app
