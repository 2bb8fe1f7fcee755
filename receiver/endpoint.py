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
from receiver.errors import NotStored, Rejected
from receiver.events.envelope import Envelope
from receiver.metrics import IntakeMetrics
from receiver.pipeline.storage import Storage
from receiver.seldom import Seldom

Judge = Callable[[Scope, bytes], Awaitable[Envelope]]
ORIGIN = "receiver.origin"
"""The key of the scope under which a judge says who has proved to be the sender: a word for the metrics."""
Headers = list[tuple[bytes, bytes]]

WORTH_TELLING = ("bad_signature", "unsigned", "too_large", "too_slow")
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        posted = scope["type"] == "http" and scope["method"] == "POST"
        endpoint = self._find(scope["path"]) if posted else None
        await (endpoint or self._others)(scope, receive, send)

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
    ) -> None:
        self.path = path
        self._judge = judge
        self._storage = storage
        self._metrics = metrics
        self._limit = limit
        self._patience = patience
        self._seldom = Seldom()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            content = await body.read(receive, scope["headers"], limit=self._limit, patience=self._patience)
            arrived = time.perf_counter()
            envelope = await self._judge(scope, content)
            stored = await self._storage.append(envelope)
        except ClientDisconnect:
            self._count(scope, "disconnected")
        except Rejected as rejected:
            scope.setdefault(ORIGIN, rejected.origin)
            self._count(scope, rejected.code, rejected.message if rejected.code in WORTH_TELLING else "")
            unread: Headers = [(b"connection", b"close")] if rejected.status in (408, 413) else []
            await _answer(send, rejected.status, refusal(rejected.code, rejected.message), unread)
        except NotStored as error:
            self._count(scope, "not_stored")
            later = [(b"retry-after", str(error.retry_after).encode())]
            await _answer(send, 503, refusal("not_stored", str(error)), later)
        except Exception as error:  # a defect of ours: the sender is told so, and tries again
            self._count(scope, "error")
            frames = traceback.extract_tb(error.__traceback__)
            # Where, but not what it says: that may quote the body or a token.
            places = [f"{frame.filename}:{frame.lineno}" for frame in frames]
            _log.error("a request failed", path=self.path, error=type(error).__name__, at=places)
            message = "The receiver failed at this request, and has logged where. Nothing says it was stored."
            await _answer(send, 500, refusal("internal", message))
        else:
            self._metrics.stored(time.perf_counter() - arrived)
            self._count(scope, "accepted")
            await _answer(send, 200, {"accepted": True, "id": envelope.id, "stored": stored})

    def _count(self, scope: Scope, outcome: str, message: str = "") -> None:
        """Count a request; say why one is refused, once a minute for each reason."""
        self._metrics.requests[self.path, outcome] += 1
        self._metrics.origins[scope.get(ORIGIN, "none"), outcome] += 1
        if message and self._seldom(outcome):
            _log.warning("requests are refused", path=self.path, code=outcome, why=message)


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
