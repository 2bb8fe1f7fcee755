"""The POST routes, by which events come in: read the body, have it judged, store it, answer.

Every event passes here, so these are bare ASGI applications, and `Front` lets them be reached without a
framework: its routing and its middleware would cost more than verifying.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver import body
from receiver.connections import Standing
from receiver.errors import NotStored, Rejected
from receiver.events.envelope import Envelope
from receiver.metrics import IntakeMetrics
from receiver.networks import ANYWHERE, Networks
from receiver.pipeline.storage import Storage
from receiver.refusals import Refusals
from receiver.seldom import Seldom

Judge = Callable[[Scope, bytes], Awaitable[Envelope]]
ORIGIN = "receiver.origin"
"""The key of the scope under which a judge says who has proved to be the sender: a word for the metrics."""
Doorman = Callable[[Scope], None]
"""Raises Rejected for a request whose head shows already that it won't be accepted."""
Headers = list[tuple[bytes, bytes]]

WORTH_TELLING = ("bad_signature", "unsigned", "too_large", "too_slow", "not_allowed")
"""Refusals that a wrong setting causes, and whose text holds nothing that a stranger has chosen."""

_log = structlog.get_logger("receiver.app")


class Front:
    """What a request meets first: a POST to an endpoint goes straight there, the rest to `others`.

    `at` are the endpoints by path, `below` those that take one more segment behind it. `others` has routes
    to them, too: it tells who doesn't send a POST that he should.
    """

    def __init__(self, at: Mapping[str, ASGIApp], below: Mapping[str, ASGIApp], others: ASGIApp) -> None:
        self._at = dict(at)
        self._below = dict(below)
        self._others = others
        self._defects = Defects()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        posted = scope["type"] == "http" and scope["method"] == "POST"
        endpoint = self._find(scope["path"]) if posted else None
        if endpoint is not None:
            await endpoint(scope, receive, send)
            return
        if scope["type"] == "lifespan":
            scope.setdefault("state", {})  # not every server has one, and then none is needed
        try:
            await self._others(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            self._defects.tell(error)  # it is answered already, with a 500

    def _find(self, path: str) -> ASGIApp | None:
        if path in self._at:
            return self._at[path]
        above, _, segment = path.rpartition("/")
        return self._below.get(above) if segment else None


class Endpoint:
    """One POST route. `limit` is of the body, in bytes; `patience` is in seconds, until it is there."""

    def __init__(
        self,
        path: str,
        judge: Judge,
        storage: Storage,
        metrics: IntakeMetrics,
        *,
        limit: int,
        patience: float,
        doorman: Doorman = lambda scope: None,
        networks: Networks = ANYWHERE,
        refusals: Refusals | None = None,
    ) -> None:
        self.path = path
        self._doorman = doorman
        self._networks = networks
        self._refusals = refusals or Refusals()
        self._judge = judge
        self._storage = storage
        self._metrics = metrics
        self._limit = limit
        self._patience = patience
        self._defects = Defects()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = 0.0
        try:
            self._networks.check(scope)
            self._doorman(scope)
            content = await body.read(receive, scope["headers"], limit=self._limit, patience=self._patience)
            arrived = time.perf_counter()
            envelope = await self._judge(scope, content)
            if Standing.KEY in scope:
                scope[Standing.KEY].proved = True
            stored = await self._storage.append(envelope)
        except ClientDisconnect:
            self._count(scope, "disconnected")
        except Rejected as rejected:
            scope.setdefault(ORIGIN, rejected.origin)
            self._count(scope, rejected.code)
            self._tell(scope, rejected)
            lost = rejected.status in (408, 413) or (not arrived and body.is_better_left(scope["headers"]))
            unread: Headers = [(b"connection", b"close")] if lost else []
            await _answer(send, rejected.status, refusal(rejected.code, rejected.message), unread)
        except NotStored as error:
            self._count(scope, "not_stored")
            later = [(b"retry-after", str(error.retry_after).encode())]
            await _answer(send, 503, refusal("not_stored", str(error)), later)
        except Exception as error:  # a defect of ours: the sender is told so, and tries again
            self._count(scope, "error")
            self._defects.tell(error, path=self.path)
            message = "The receiver failed at this request, and has logged where. Nothing says it was stored."
            await _answer(send, 500, refusal("internal", message))
        else:
            self._metrics.stored(time.perf_counter() - arrived)
            self._count(scope, "accepted")
            await _answer(send, 200, {"accepted": True, "id": envelope.id, "stored": stored})

    def _count(self, scope: Scope, outcome: str) -> None:
        self._metrics.requests[self.path, outcome] += 1
        self._metrics.origins[scope.get(ORIGIN, "none"), outcome] += 1

    def _tell(self, scope: Scope, rejected: Rejected) -> None:
        """Count where a refused request comes from; say why it is refused, once a minute for each reason."""
        client, refusals = self._networks.client(scope), self._refusals
        refusals.note(client)
        if rejected.code in WORTH_TELLING:
            refusals.tell(_log, rejected.code, client, path=self.path, why=rejected.message)


class Defects:
    """Tells of our own defects, once a minute for each."""

    def __init__(self) -> None:
        self._seldom = Seldom()

    def tell(self, error: Exception, **more: str) -> None:
        """Log where it is, but not what it says: that may quote the body or a token."""
        name = type(error).__name__
        places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        if times := self._seldom(f"{name} {places[-1]}"):
            _log.error("a request failed", error=name, at=places, times=times, **more)


def refusal(code: str, message: str) -> dict[str, Any]:
    """Return what a refused request is told."""
    return {"error": True, "code": code, "message": message}


async def _answer(
    send: Send, status: int, content: dict[str, Any], more_headers: Headers | tuple[()] = ()
) -> None:
    encoded = orjson.dumps(content)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(encoded)),
        *more_headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": encoded})
