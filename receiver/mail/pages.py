"""The pages behind the unsubscribe links in mails.

A GET changes nothing, since scanners follow every link of a mail. A POST needs no more than the token:
it comes from the page's button, or from a mail program by one click (RFC 8058), without any cookie.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from redis.exceptions import RedisError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from receiver import body
from receiver.errors import Rejected
from receiver.guard import safe_headers
from receiver.mail.unsubscribe import OptOuts, Subscription, Tokens

LARGEST_FORM = 4096
"""Bytes of a one-click form, which needs 26."""
PATIENCE = 10.0
AGAIN_AFTER = 5
"""Seconds: how long a form may take to arrive, and when to come back while Redis is away."""

_STYLE = files("receiver.mail").joinpath("templates/page.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {**safe_headers(_POLICY), "x-robots-tag": "noindex"}
"""They keep the address from others, too: it is the key."""

Change = Callable[[Subscription], Awaitable[None]]


class UnsubscribePages:
    """Asks, does it, and offers the way back."""

    def __init__(self, tokens: Tokens, opt_outs: OptOuts) -> None:
        self._tokens = tokens
        self._opt_outs = opt_outs
        environment = Environment(
            loader=PackageLoader("receiver.mail"), autoescape=select_autoescape(), trim_blocks=True
        )
        self._page = environment.get_template("page.html")

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/unsubscribe/{token}", self.ask),
            Route("/unsubscribe/{token}", self.unsubscribe, methods=["POST"]),
            Route("/resubscribe/{token}", self.resubscribe, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Show the button."""
        subscription = self._tokens.open(request.path_params["token"])
        if subscription is None:
            return self._incomplete()
        return self._show(
            200,
            "Unsubscribe?",
            "You will get no more of these mails.",
            button="Unsubscribe",
            action=request.path_params["token"],
            list_name=subscription.list_name,
        )

    async def unsubscribe(self, request: Request) -> Response:
        """Unsubscribe, and offer to undo it."""
        return await self._change(
            request,
            self._opt_outs.add,
            "You're unsubscribed",
            "You will get no more of these mails.",
            button="Undo",
            action=f"../resubscribe/{request.path_params['token']}",
            quiet=True,
        )

    async def resubscribe(self, request: Request) -> Response:
        """Subscribe again, and offer to undo that."""
        return await self._change(
            request,
            self._opt_outs.remove,
            "You're subscribed again",
            "These mails will reach you as before.",
            button="Unsubscribe",
            action=f"../unsubscribe/{request.path_params['token']}",
            quiet=True,
        )

    async def _change(self, request: Request, change: Change, title: str, line: str, **more: Any) -> Response:
        subscription = self._tokens.open(request.path_params["token"])
        if subscription is None:
            return self._incomplete()
        try:
            # Nothing in it matters: whoever posts to this address means it.
            await body.read(request.receive, request.scope["headers"], limit=LARGEST_FORM, patience=PATIENCE)
            await change(subscription)
        except ClientDisconnect:
            return Response(status_code=400)
        except Rejected as rejected:
            page = self._show(rejected.status, "That was too much", "Use the button in the mail, please.")
            page.headers["connection"] = "close"  # the rest is on its way, and nobody will read it
            return page
        except (RedisError, OSError, TimeoutError):
            page = self._show(
                503,
                "Not now, sorry",
                "Your choice could not be saved. Please try again in a moment.",
                mark="wrong",
            )
            page.headers["retry-after"] = str(AGAIN_AFTER)
            return page
        return self._show(200, title, line, mark="done", list_name=subscription.list_name, **more)

    def _incomplete(self) -> Response:
        return self._show(
            404,
            "This link isn't complete",
            "Perhaps a part of it was cut off.",
            "Open it from the mail itself, or copy all of it.",
            mark="wrong",
        )

    def _show(self, status: int, title: str, *lines: str, **more: Any) -> Response:
        style = Markup(_STYLE)  # noqa: S704 - our own file
        page = self._page.render(title=title, lines=lines, style=style, **more)
        return HTMLResponse(page, status, HEADERS)
