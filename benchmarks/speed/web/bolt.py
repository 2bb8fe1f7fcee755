"""slack-bolt with its own Starlette adapter: verifies Slack's signature over a body of the same size.

The listener is lazy: it is acknowledged at once, and runs in the same process, from memory. Nothing is
stored: what runs when the process dies is lost.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_BOT = "xoxb-1"


_BOT = "xoxb-1"  # made up


async def _authorize(**_: Any) -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=None, team_id="T1", bot_token=_BOT, bot_id="B1", bot_user_id="U0")


_bolt = AsyncApp(signing_secret=os.environ["SENDBIRD_API_TOKEN"], authorize=_authorize)
_handler = AsyncSlackRequestHandler(_bolt)


async def _acknowledge(ack: Callable[[], Awaitable[object]]) -> None:
    await ack()


async def _work(event: dict[str, Any]) -> None:
    pass


_bolt.event("message")(ack=_acknowledge, lazy=[_work])


async def events(request: Request) -> Response:
    """Hand the request to Bolt."""
    answer: Response = await _handler.handle(request)
    return answer


app = Starlette(routes=[Route("/sendbird/webhook", events, methods=["POST"])])
