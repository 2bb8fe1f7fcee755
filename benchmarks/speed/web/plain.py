"""A Starlette route that verifies and parses with orjson, and stores nothing: x1. And one that enqueues.

BENCH_QUEUE names the module of the jobs that are put; without it, none are.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from importlib import import_module

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_token = os.environ["SENDBIRD_API_TOKEN"].encode()
_accepted = orjson.dumps({"accepted": True})
_queue = os.environ.get("BENCH_QUEUE")
_put = import_module(f"benchmarks.speed.jobs.{_queue}_jobs").put if _queue else None


async def webhook(request: Request) -> Response:
    """Verify, parse, and enqueue if there is a queue."""
    body = await request.body()
    expected = hmac.digest(_token, body, hashlib.sha256).hex()
    if not hmac.compare_digest(expected, request.headers.get("x-sendbird-signature", "")):
        return Response(status_code=401)
    if not orjson.loads(body).get("category"):
        return Response(status_code=400)
    if _put is not None:
        await _put(body.decode())
    return Response(_accepted, media_type="application/json")


app = Starlette(routes=[Route("/sendbird/webhook", webhook, methods=["POST"])])
