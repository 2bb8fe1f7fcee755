"""The ASGI application: what a receiver process holds, its routes, and the lifespan of its connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from receiver import children, garbage, hangup, logs, metrics, origins, setting_examples, settings
from receiver.connections import Connections
from receiver.endpoint import Doorman, Endpoint, Front, Judge, refusal
from receiver.errors import NotStored, SettingsError
from receiver.events.envelope import Envelope
from receiver.gate import SETTINGS, Bots, Gate
from receiver.guard import InnerRoute, Insiders, SafeHeaders
from receiver.intake import unknown_path
from receiver.mail.pages import UnsubscribePages
from receiver.mail.unsubscribe import OptOuts, Tokens
from receiver.metrics import IntakeMetrics
from receiver.networks import Networks
from receiver.pipeline import keys
from receiver.pipeline.connection import connect, connect_many
from receiver.pipeline.inbox import Inbox
from receiver.pipeline.storage import Storage
from receiver.readiness import Readiness
from receiver.settings import Settings

BESIDE = 4
"""Connections to Redis for all but events."""

_log = structlog.get_logger("receiver.app")


class Receiver:
    """What one receiver process holds, and the answers it gives."""

    def __init__(self, config: Settings) -> None:
        if config.redis_url is None:
            raise settings.missing("redis_url", "The receiver stores every event there before it answers.")
        self.config = config
        self.client = connect(config.redis_url, timeout=config.store_timeout, keyring=config.keyring)
        # What strangers may ask for must not take the connections by which events are stored.
        self.beside = connect_many(config.redis_url, timeout=config.store_timeout, connections=BESIDE)
        self.inbox = Inbox(self.beside)
        self.storage = Storage(
            self.client,
            config.data_dir / "spool",
            limit=config.inbox_limit,
            spool_limit=config.spool_limit,
        )
        self.readiness = Readiness(self.inbox, self.storage)
        self.bots = Bots(self._learn_bot)
        self.gate = Gate(config, self.bots)
        self._link_tokens = Tokens(config.api_keys)
        self.unsubscribe = UnsubscribePages(self._link_tokens, OptOuts(self.beside))
        self.connections = Connections(
            config.max_connections, max_head=config.max_head, patience=config.body_timeout
        )
        self.metrics = IntakeMetrics(self.connections)
        self.insiders = Insiders(config.metrics_token)
        self._known_bots: set[str] = set()

    def await_signature(self, scope: Scope) -> None:
        """Refuse a webhook without a signature before its body is read."""
        self.gate.await_signature(scope)

    def await_secret(self, scope: Scope) -> None:
        """Refuse a webhook whose URL holds no secret before its body is read."""
        self.gate.await_secret(scope)

    def await_desk(self, scope: Scope) -> None:
        """Refuse a webhook of Desk that can't be one before its body is read."""
        self.gate.await_desk(scope)

    def judge_webhook(self, scope: Scope, content: bytes) -> Awaitable[Envelope]:
        """Judge a signed webhook."""
        return self.gate.webhook(scope, content)

    def judge_unsigned_webhook(self, scope: Scope, content: bytes) -> Awaitable[Envelope]:
        """Judge a webhook whose URL holds the secret."""
        return self.gate.unsigned_webhook(scope, content)

    def judge_bot_callback(self, scope: Scope, content: bytes) -> Awaitable[Envelope]:
        """Judge a bot callback."""
        return self.gate.bot_callback(scope, content)

    def judge_desk(self, scope: Scope, content: bytes) -> Awaitable[Envelope]:
        """Judge a webhook of Desk."""
        return self.gate.desk(scope, content)

    def reload(self) -> None:
        """Read the settings anew, and judge by them from the next request on.

        Requests that are being judged end as they began. Wrong settings change nothing.
        """
        try:
            config = settings.load()
            origins.check(config)
            setting_examples.refuse(config)
            gate, keyring = Gate(config, self.bots), config.keyring
        except SettingsError as error:
            _log.error("the settings are wrong, and those from before stay in force", why=str(error))
            return
        changed = self.gate.config.changes(config) & SETTINGS
        self.gate = gate
        self._link_tokens.renew(config.api_keys)
        self.client.keyring = keyring
        later = self.config.changes(config) - SETTINGS
        _log.info("the settings were read anew", changed=config.named(changed), encrypts_with=keyring.ids[:1])
        if later:
            _log.warning("some settings count only after a restart", changed=config.named(later))
        for name, meaning in origins.warnings(config):
            if name in config.named(changed):
                _log.warning(meaning, setting=name)

    async def _learn_bot(self, mark: str) -> None:
        """Remember that this user is a bot, so that webhooks of its messages are marked."""
        if mark not in self._known_bots and not self.storage.spooling:
            with suppress(RedisError, OSError, TimeoutError):  # its next callback will do
                await self.beside.sadd(keys.BOTS, mark)
                self._known_bots.add(mark)

    async def recall_bots(self) -> None:
        """Learn which bots an earlier process knew: strangers can't keep these from being looked up."""
        with suppress(RedisError, OSError, TimeoutError):  # then they are as good as new
            marks = [mark.decode() for mark in await self.beside.smembers(keys.BOTS)]
            self.bots.familiar.update(*origins.marked(marks).values())

    async def healthz(self, request: Request) -> Response:
        """The process lives."""
        return _json(200, {"ok": True})

    async def readyz(self, request: Request) -> Response:
        """The process can store: in the inbox, or else in the spool. How it does is for insiders."""
        ready, told = await self.readiness.ask()
        inner = told if self.insiders.admits(request.scope) else {}
        return _json(200 if ready else 503, {"ready": ready, **inner})

    async def show_metrics(self, request: Request) -> Response:
        """What Prometheus reads. While Redis is away, what this process itself knows."""
        with suppress(NotStored):  # the file can't be read, which the log says
            events, size = await self.storage.spooled()
            self.metrics.spool_events = events
            self.metrics.spool_bytes = size
        try:
            length = await self.inbox.length()
            states = await self.beside.hvals(keys.LANES)
            lanes = sum(state != b"lingering" for state in states)
            stored = await self.beside.hgetall(keys.STATS)
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
    reads_settings = config is None
    if config is None:
        children.die_with_spawner()
        config = settings.load()
        logs.guard()
        logs.configure(config.log_format)
        garbage.settle()
    receiver = Receiver(config)

    networks = Networks(config.allow_from, config.trusted_proxies)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(receiver.client.aclose)
            stack.push_async_callback(receiver.beside.aclose)
            stack.push_async_callback(receiver.bots.aclose)
            await receiver.storage.open()
            stack.push_async_callback(receiver.storage.close)
            await receiver.recall_bots()
            if reads_settings:
                stack.enter_context(hangup.answered(receiver.reload))
            receiver.connections.settle()
            yield {"connections": receiver.connections}  # LeanHttp takes it

    def endpoint(path: str, judge: Judge, doorman: Doorman = lambda scope: None) -> Endpoint:
        return Endpoint(
            path,
            judge,
            receiver.storage,
            receiver.metrics,
            limit=config.max_body,
            patience=config.body_timeout,
            doorman=doorman,
            networks=networks,
            refusals=receiver.connections.refusals,
        )

    webhook = endpoint("/sendbird/webhook", receiver.judge_webhook, receiver.await_signature)
    unsigned_webhook = endpoint(
        "/sendbird/webhook/{secret}", receiver.judge_unsigned_webhook, receiver.await_secret
    )
    bot = endpoint("/sendbird/bot", receiver.judge_bot_callback)
    desk = endpoint("/sendbird/desk", receiver.judge_desk, receiver.await_desk)
    others = Starlette(
        routes=[
            *(Route(one.path, one, methods=["POST"]) for one in (webhook, unsigned_webhook, bot, desk)),
            Route("/healthz", receiver.healthz),
            Route("/readyz", receiver.readyz),
            InnerRoute("/metrics", receiver.show_metrics, receiver.insiders),
            *receiver.unsubscribe.routes(),
        ],
        exception_handlers={HTTPException: _explain},
        lifespan=lifespan,
    )
    others.router.redirect_slashes = False
    at = {one.path: one for one in (webhook, bot, desk)}
    return Front(at, {webhook.path: unsigned_webhook}, SafeHeaders(others))
