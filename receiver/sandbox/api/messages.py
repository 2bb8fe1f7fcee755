"""`/group_channels/{channel_url}/messages` and `/open_channels/{channel_url}/messages`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from receiver.sandbox import errors, views
from receiver.sandbox.api import drafts, params
from receiver.sandbox.channels import Channels
from receiver.sandbox.files import Files
from receiver.sandbox.messages import Messages
from receiver.sandbox.model import Channel, Kind, Message
from receiver.sandbox.world import World

_FOREVER = 1 << 62


class MessagesApi:
    """Routes of the messages of one kind of channel."""

    def __init__(
        self, world: World, channels: Channels, messages: Messages, files: Files, kind: Kind
    ) -> None:
        self._world = world
        self._channels = channels
        self._messages = messages
        self._files = files
        self._kind: Kind = kind

    def routes(self) -> list[BaseRoute]:
        """Return the routes, relative to `/v3`."""
        many = f"/{self._kind}_channels/{{channel_url}}/messages"
        one = f"{many}/{{message_id:int}}"
        routes: list[BaseRoute] = [
            Route(many, self.send, methods=["POST"]),
            Route(many, self.index),
            Route(f"{many}/total_count", self.total_count),
            Route(one, self.view),
            Route(one, self.update, methods=["PUT"]),
            Route(one, self.delete, methods=["DELETE"]),
        ]
        if self._kind == "group":
            routes += [
                Route(f"{many}/mark_as_read", self.mark_as_read, methods=["PUT"]),
                Route(f"{many}/unread_count", self.unread_count),
            ]
        return routes

    def _channel(self, request: Request) -> Channel:
        return self._world.channel(request.path_params["channel_url"], self._kind)

    def _message(self, request: Request) -> tuple[Channel, Message]:
        channel = self._channel(request)
        return channel, self._world.message(channel, request.path_params["message_id"])

    async def send(self, request: Request) -> JSONResponse:
        channel, given = self._channel(request), await params.read(request)
        draft = drafts.read(given, self._files, given.need_text("message_type"))
        sender = self._world.user(given.need_text("user_id")) if draft.type != "ADMM" else None
        message = self._messages.send(channel, sender, draft)
        return JSONResponse(views.message(self._world, message))

    async def index(self, request: Request) -> JSONResponse:
        channel, given = self._channel(request), params.query(request)
        found = [
            message
            for message in self._world.messages[channel.channel_url].values()
            if given.text("message_type") in ("", message.type)
            and given.text("sender_id") in ("", message.sender_id)
            and ("custom_type" not in given or given.text("custom_type") == message.custom_type)
        ]
        if "message_id" in given:
            moment = self._world.message(channel, given.number("message_id")).created_at
        elif "message_ts" in given:
            moment = given.number("message_ts") or _FOREVER
        else:
            raise errors.missing("message_ts")
        before = [message for message in found if message.created_at < moment]
        at = [message for message in found if message.created_at == moment]
        after = [message for message in found if message.created_at > moment]
        most_before, most_after = given.number("prev_limit", 15), given.number("next_limit", 15)
        if max(most_before, most_after) > 200:
            raise errors.not_valid("prev_limit and next_limit", "numbers from 0 to 200")
        before = before[max(0, len(before) - most_before) :]
        found = [*before, *(at if given.flag("include", True) else []), *after[:most_after]]
        if given.flag("reverse"):
            found.reverse()
        return JSONResponse({"messages": [views.message(self._world, message) for message in found]})

    async def view(self, request: Request) -> JSONResponse:
        return JSONResponse(views.message(self._world, self._message(request)[1]))

    async def update(self, request: Request) -> JSONResponse:
        (channel, message), given = self._message(request), await params.read(request)
        if "message_type" in given and given.text("message_type") != message.type:
            raise errors.not_valid("message_type", f"{message.type}, the message's type")
        text = given.need_text("message") if "message" in given else None
        self._messages.update(
            channel,
            message,
            text=text,
            data=given.maybe_text("data"),
            custom_type=given.maybe_text("custom_type", limit=128),
        )
        return JSONResponse(views.message(self._world, message))

    async def delete(self, request: Request) -> JSONResponse:
        self._messages.delete(*self._message(request))
        return JSONResponse({})

    async def mark_as_read(self, request: Request) -> JSONResponse:
        channel, given = self._channel(request), await params.read(request)
        self._channels.read(channel, self._world.user(given.need_text("user_id")))
        return JSONResponse({})

    async def total_count(self, request: Request) -> JSONResponse:
        return JSONResponse({"total": len(self._world.messages[self._channel(request).channel_url])})

    async def unread_count(self, request: Request) -> JSONResponse:
        channel, given = self._channel(request), params.query(request)
        wanted = given.need_texts("user_ids")
        found = {each: channel.members[each].unread for each in wanted if each in channel.members}
        return JSONResponse({"unread": found})
