"""Keeps other web sites away from the chat page, which has no password."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_JSON = "application/json"
_BYTES = "application/octet-stream"
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class PageGuard:
    """ASGI middleware: refuses foreign sites, foreign host names and bodies a plain form could send."""

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self._app = app
        self._hosts = {"localhost", urlsplit(public_url).hostname or "localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if refusal := self._refusal(scope):
            await PlainTextResponse(f"{refusal}\n", status_code=403)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                message["headers"] += [header for header in _HEADERS if header[0] not in names]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known(host):
            return "This host name is not the sandbox's. Open it as http://127.0.0.1 or http://localhost."
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "Requests from other sites are refused."
        if (origin := headers.get("origin")) is not None and urlsplit(origin).netloc != host:
            return "Requests from other sites are refused."
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        # A DELETE is no form's either, and has no body that could be of a type.
        if scope["method"] not in ("GET", "HEAD", "DELETE") and media_type not in (_JSON, _BYTES):
            return f"Send {_JSON} (or {_BYTES} for files)."
        return ""

    def _known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts or name.endswith(".localhost"):
            return True
        try:
            # DNS rebinding needs a name. With an address as host, page and sandbox are one origin.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
