"""`/bots`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from receiver.sandbox import errors, views
from receiver.sandbox.api import drafts, params
from receiver.sandbox.bots import Bots
from receiver.sandbox.files import Files
from receiver.sandbox.model import Bot, Channel
from receiver.sandbox.views import Json
from receiver.sandbox.world import World


class BotsApi:
    """Routes of bots."""

    def __init__(self, world: World, bots: Bots, files: Files) -> None:
        self._world = world
        self._bots = bots
        self._files = files

    def routes(self) -> list[BaseRoute]:
        """Return the routes, relative to `/v3`."""
        one = "/bots/{bot_userid}"
        return [
            Route("/bots", self.create, methods=["POST"]),
            Route("/bots", self.index),
            Route(one, self.view),
            # The Platform API of 2016 prints POST for the update, today's has PUT.
            Route(one, self.update, methods=["PUT", "POST"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/channels", self.join, methods=["POST"]),
            Route(f"{one}/channels", self.leave, methods=["DELETE"]),
            Route(f"{one}/channels/{{channel_url}}", self.leave, methods=["DELETE"]),
            Route(f"{one}/send", self.send, methods=["POST"]),
        ]

    def _bot(self, request: Request) -> Bot:
        return self._world.bot(request.path_params["bot_userid"])

    def _view(self, bot: Bot) -> Json:
        return views.bot(self._world, bot)

    async def create(self, request: Request) -> JSONResponse:
        given = await params.read(request)
        bot = self._bots.create(
            given.need_text("bot_userid", limit=90),
            given.need_text("bot_nickname", limit=80),
            url("bot_callback_url", given.need_text("bot_callback_url", blank=True)),
            bot_profile_url=given.need_text("bot_profile_url", blank=True, limit=2048),
            is_privacy_mode=given.need_flag("is_privacy_mode"),
            show_member=given.flag("show_member"),
            enable_mark_as_read=given.flag("enable_mark_as_read", True),
        )
        return JSONResponse(self._view(bot))

    async def index(self, request: Request) -> JSONResponse:
        given = params.query(request)
        wanted, callback = given.texts("bot_userids"), given.maybe_text("bot_callback_url")
        found = [
            bot
            for bot in self._world.bots.values()
            if (not wanted or bot.bot_userid in wanted) and callback in (None, bot.bot_callback_url)
        ]
        return JSONResponse(params.page(request, "bots", found, self._view))

    async def view(self, request: Request) -> JSONResponse:
        return JSONResponse(self._view(self._bot(request)))

    async def update(self, request: Request) -> JSONResponse:
        bot, given = self._bot(request), await params.read(request)
        changes: dict[str, Any] = {
            name: given.flag(name)
            for name in ("is_privacy_mode", "show_member", "enable_mark_as_read")
            if name in given
        }
        if "bot_callback_url" in given:
            changes["bot_callback_url"] = url("bot_callback_url", given.text("bot_callback_url"))
        self._bots.update(
            bot,
            changes,
            nickname=given.need_text("bot_nickname", limit=80) if "bot_nickname" in given else None,
            profile_url=given.maybe_text("bot_profile_url", limit=2048),
        )
        return JSONResponse(self._view(bot))

    async def delete(self, request: Request) -> JSONResponse:
        self._bots.delete(self._bot(request))
        return JSONResponse({})

    async def join(self, request: Request) -> JSONResponse:
        bot, given = self._bot(request), await params.read(request)
        channels = [self._world.channel(each, "group") for each in given.need_texts("channel_urls")]
        self._bots.join(bot, channels)
        return JSONResponse({"channels": [self._joined(channel) for channel in channels]})

    async def leave(self, request: Request) -> JSONResponse:
        channel_url = request.path_params.get("channel_url")
        channel = self._world.channel(channel_url, "group") if channel_url else None
        self._bots.leave(self._bot(request), channel)
        return JSONResponse({})

    async def send(self, request: Request) -> JSONResponse:
        bot, given = self._bot(request), await params.read(request)
        channel = self._world.channel(given.need_text("channel_url"), "group")
        kind = given.text("message_type", "MESG")
        if kind == "ADMM":
            raise errors.not_valid("message_type", "MESG or FILE")
        draft = drafts.read(given, self._files, kind)
        message = self._bots.send(bot, channel, draft)
        return JSONResponse({"message": views.message(self._world, message)})

    def _joined(self, channel: Channel) -> Json:
        fields = views.channel(self._world, channel)
        return {
            name: fields[name]
            for name in ("channel_url", "name", "cover_url", "data", "custom_type", "created_at")
        }


def url(name: str, value: str) -> str:
    """Return `value`, which must be an http or https URL, or empty for none."""
    parts = urlsplit(value)
    if value and not (parts.scheme in ("http", "https") and parts.hostname):
        raise errors.not_valid(name, "a URL that begins with http:// or https://")
    return value
