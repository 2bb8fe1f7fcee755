"""Who may call the API, and how its errors look."""

from __future__ import annotations

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.guard import same
from receiver.sandbox import errors
from receiver.sandbox.errors import ApiError


class TokenGate:
    """ASGI middleware: lets through requests that carry the API token, in a header that no form can send."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = SecretStr(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get("api-token", "").encode("latin-1")
        if same(given, self._token):
            await self._app(scope, receive, send)
        else:
            await answer(errors.bad_token())(scope, receive, send)


def answer(error: ApiError) -> JSONResponse:
    """Return an error as Sendbird answers it."""
    return JSONResponse(error.to_json(), status_code=400)


async def on_api_error(request: Request, error: Exception) -> JSONResponse:
    """Answer a call that was refused."""
    assert isinstance(error, ApiError)
    return answer(error)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework refuses: unknown paths and methods, bodies that are no forms."""
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        return answer(errors.bad_url())
    if error.status_code == 413:
        return JSONResponse(errors.bad_body("it is too large").to_json(), status_code=413)
    return answer(errors.bad_body(error.detail))


async def on_failure(request: Request, error: Exception) -> JSONResponse:
    """Answer a call that broke the sandbox; the server logs the traceback."""
    return JSONResponse(errors.failed().to_json(), status_code=500)
