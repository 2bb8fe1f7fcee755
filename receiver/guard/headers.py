"""What a browser is told about everything we serve: to run, load, frame and keep as little as possible."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NOT_ALLOWED = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
NOTHING = f"default-src 'none'; {_NOT_ALLOWED}"
"""The policy of what is no page."""
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    f"frame-src 'self'; {_NOT_ALLOWED}; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The policy of our pages: their own files only, and no text ever becomes markup or code."""
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}


def safe_headers(policy: str = NOTHING) -> dict[str, str]:
    """Return the headers, with a content security policy."""
    return {"content-security-policy": policy, **_HEADERS}


class SafeHeaders:
    """ASGI middleware: adds the headers to every answer, save those that it has already."""

    def __init__(self, app: ASGIApp, policy: str = NOTHING) -> None:
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in safe_headers(policy).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                has = {name.lower() for name, _ in message["headers"]}
                more = [header for header in self._headers if header[0] not in has]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, with_headers)
