"""Sendbird is played: it knows every message, that nobody has read one, and where everybody's mail goes."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from operator import itemgetter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class Sendbird:
    """What is asked of the API before a digest goes out."""

    def __init__(self) -> None:
        self._said: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.routes = [
            Route("/v3/group_channels/{url:path}/messages/unread_count", self._unread),
            Route("/v3/group_channels/{url:path}/messages", self._messages),
            Route("/v3/users/{user}/metadata", self._metadata),
            Route("/v3/bots", self._bots),
        ]

    def learn(self, body: dict[str, Any]) -> None:
        """Keep the message of a webhook; a channel's come in order."""
        self._said[body["channel"]["channel_url"]].append(body["payload"])

    async def _unread(self, request: Request) -> JSONResponse:
        ids = request.query_params["user_ids"].split(",")
        return JSONResponse({"unread": dict.fromkeys(ids, 1000)})

    async def _messages(self, request: Request) -> JSONResponse:
        said, asked = self._said[request.path_params["url"]], request.query_params
        first = bisect_left(said, int(asked["message_ts"]), key=itemgetter("created_at"))
        return JSONResponse({"messages": said[first : first + int(asked["next_limit"])]})

    async def _metadata(self, request: Request) -> JSONResponse:
        return JSONResponse({"email": f"{request.path_params['user']}@example.com"})

    async def _bots(self, _request: Request) -> JSONResponse:
        return JSONResponse({"bots": [], "next": ""})
