"""Sendbird is played: it answers how many messages a user has not read, and where his mail goes."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse


async def unread(request: Request) -> JSONResponse:
    """Answer that nobody has read anything."""
    ids = parse_qs(urlsplit(str(request.url)).query)["user_ids"][0].split(",")
    return JSONResponse({"unread": dict.fromkeys(ids, 1000)})


async def metadata(request: Request) -> JSONResponse:
    """Answer with a user's address."""
    return JSONResponse({"email": f"{request.path_params['user']}@example.com"})
