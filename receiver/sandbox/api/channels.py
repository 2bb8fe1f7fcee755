"""`/group_channels` and `/open_channels`, without their messages."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from receiver.sandbox import errors, views
from receiver.sandbox.api import params
from receiver.sandbox.api.params import Params
from receiver.sandbox.channels import Channels
from receiver.sandbox.model import Channel, Kind
from receiver.sandbox.world import World

_LIMITS = {"name": 1024, "cover_url": 2048, "data": None, "custom_type": 128}


class ChannelsApi:
    """Routes of one kind of channel."""

    def __init__(self, world: World, channels: Channels, kind: Kind) -> None:
        self._world = world
        self._channels = channels
        self._kind: Kind = kind

    def routes(self) -> list[BaseRoute]:
        """Return the routes, relative to `/v3`."""
        many = f"/{self._kind}_channels"
        one = f"{many}/{{channel_url}}"
        routes: list[BaseRoute] = [
            Route(many, self.create, methods=["POST"]),
            Route(many, self.index),
            Route(one, self.view),
            Route(one, self.update, methods=["PUT"]),
            Route(one, self.delete, methods=["DELETE"]),
        ]
        if self._kind == "group":
            routes += [
                Route(f"{one}/members", self.members),
                Route(f"{one}/members/{{user_id}}", self.is_member),
                Route(f"{one}/invite", self.invite, methods=["POST"]),
                Route(f"{one}/leave", self.leave, methods=["PUT"]),
            ]
        else:
            routes += [
                Route(f"{one}/participants", self.members),
                # The sandbox's own: there, a connection enters and exits.
                Route(f"{one}/participants", self.enter, methods=["POST"]),
                Route(f"{one}/participants/{{user_id}}", self.exit, methods=["DELETE"]),
            ]
        return routes

    def _channel(self, request: Request) -> Channel:
        return self._world.channel(request.path_params["channel_url"], self._kind)

    async def create(self, request: Request) -> JSONResponse:
        given = await params.read(request)
        user_ids = given.texts("user_ids")
        inviter_id = given.maybe_text("inviter_id")
        channel = self._channels.create(
            self._kind,
            name=given.text("name", limit=_LIMITS["name"]) or f"{self._kind.title()} Channel",
            channel_url=given.text("channel_url"),
            users=[self._world.user(user_id) for user_id in dict.fromkeys(user_ids)],
            operators=[self._world.user(user_id) for user_id in given.texts("operators")],
            inviter=self._world.user(inviter_id) if inviter_id else None,
            is_distinct=given.flag("is_distinct"),
            cover_url=given.text("cover_url", limit=_LIMITS["cover_url"]),
            data=given.text("data"),
            custom_type=given.text("custom_type", limit=_LIMITS["custom_type"]),
        )
        return JSONResponse(views.channel(self._world, channel, with_members=True))

    async def index(self, request: Request) -> JSONResponse:
        given = params.query(request)
        found = [channel for channel in self._world.channels.values() if channel.kind == self._kind]
        members = given.flag("show_member") or given.flag("member")
        receipts = given.flag("show_read_receipt")
        return JSONResponse(
            params.page(
                request,
                "channels",
                matching(self._world, found, given),
                lambda channel: views.channel(
                    self._world, channel, with_members=members, with_receipts=receipts
                ),
            )
        )

    async def view(self, request: Request) -> JSONResponse:
        channel, given = self._channel(request), params.query(request)
        with_members = any(given.flag(name) for name in ("member", "show_member", "participants"))
        receipts = given.flag("read_receipt") or given.flag("show_read_receipt")
        viewer = given.maybe_text("user_id")
        fields = views.channel(
            self._world, channel, with_members=with_members, with_receipts=receipts, viewer=viewer
        )
        return JSONResponse(fields)

    async def update(self, request: Request) -> JSONResponse:
        channel, given = self._channel(request), await params.read(request)
        changes: dict[str, Any] = {
            key: value
            for key, limit in _LIMITS.items()
            if (value := given.maybe_text(key, limit=limit)) is not None
        }
        if self._kind == "group" and "is_distinct" in given:
            changes["is_distinct"] = given.flag("is_distinct")
        if self._kind == "open" and "operators" in given:
            changes["operators"] = [self._world.user(each).user_id for each in given.texts("operators")]
        self._channels.update(channel, changes)
        return JSONResponse(views.channel(self._world, channel, with_members=self._kind == "group"))

    async def delete(self, request: Request) -> JSONResponse:
        self._channels.delete(self._channel(request))
        return JSONResponse({})

    async def members(self, request: Request) -> JSONResponse:
        name = "members" if self._kind == "group" else "participants"
        found = views.members(self._world, self._channel(request))
        return JSONResponse(params.page(request, name, found, lambda member: member))

    async def is_member(self, request: Request) -> JSONResponse:
        channel = self._channel(request)
        joined = request.path_params["user_id"] in channel.members
        return JSONResponse({"is_member": joined, "state": "joined" if joined else "none"})

    async def invite(self, request: Request) -> JSONResponse:
        channel, given = self._channel(request), await params.read(request)
        users = [self._world.user(user_id) for user_id in given.need_texts("user_ids")]
        inviter_id = given.maybe_text("inviter_id")
        self._channels.invite(channel, users, self._world.user(inviter_id) if inviter_id else None)
        return JSONResponse(views.channel(self._world, channel, with_members=True))

    async def leave(self, request: Request) -> JSONResponse:
        channel, given = self._channel(request), await params.read(request)
        user_ids = [given.text("user_id")] if "user_id" in given else given.need_texts("user_ids")
        for user_id in user_ids:
            if user_id not in channel.members:
                raise errors.not_authorized(f'User "{user_id}" must be a member of the channel.')
        self._channels.leave(channel, [self._world.user(user_id) for user_id in user_ids])
        return JSONResponse({})

    async def enter(self, request: Request) -> JSONResponse:
        channel, given = self._channel(request), await params.read(request)
        self._channels.enter(channel, self._world.user(given.need_text("user_id")))
        return JSONResponse(views.channel(self._world, channel, with_members=True))

    async def exit(self, request: Request) -> JSONResponse:
        channel = self._channel(request)
        self._channels.exit(channel, self._world.user(request.path_params["user_id"]))
        return JSONResponse({})


def matching(world: World, channels: list[Channel], given: Params) -> list[Channel]:
    """Return those of `channels` that the query asks for, in the order that it asks for."""
    if wanted := given.texts("channel_urls"):
        channels = [channel for channel in channels if channel.channel_url in wanted]
    if "custom_type" in given:
        channels = [channel for channel in channels if channel.custom_type == given.text("custom_type")]
    mode = given.text("distinct_mode", "all")
    if mode not in ("all", "distinct", "nondistinct"):
        raise errors.not_valid("distinct_mode", "all, distinct or nondistinct")
    if mode != "all":
        channels = [channel for channel in channels if channel.is_distinct == (mode == "distinct")]
    if exactly := given.texts("members_exactly_in"):
        channels = [channel for channel in channels if channel.members.keys() == set(exactly)]
    if include := given.texts("members_include_in"):
        enough = any if given.text("query_type", "AND") == "OR" else all
        channels = [channel for channel in channels if enough(each in channel.members for each in include)]
    if part := given.text("members_nickname_contains"):
        channels = [
            channel
            for channel in channels
            if any(part in world.users[user_id].nickname for user_id in channel.members)
        ]
    if given.text("order") == "latest_last_message":
        channels = sorted(channels, key=lambda channel: _latest(world, channel), reverse=True)
    return channels


def _latest(world: World, channel: Channel) -> int:
    messages = world.messages[channel.channel_url].values()
    return next((message.created_at for message in reversed(messages)), channel.created_at)
