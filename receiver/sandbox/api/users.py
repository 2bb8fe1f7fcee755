"""`/users`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from receiver.sandbox import errors, views
from receiver.sandbox.api import params
from receiver.sandbox.api.channels import matching
from receiver.sandbox.channels import Channels
from receiver.sandbox.model import Channel, User
from receiver.sandbox.users import Users
from receiver.sandbox.views import Json
from receiver.sandbox.world import World


class UsersApi:
    """Routes of users."""

    def __init__(self, world: World, users: Users, channels: Channels) -> None:
        self._world = world
        self._users = users
        self._channels = channels

    def routes(self) -> list[BaseRoute]:
        """Return the routes, relative to `/v3`."""
        one = "/users/{user_id}"
        return [
            Route("/users", self.create, methods=["POST"]),
            Route("/users", self.index),
            Route(one, self.view),
            Route(one, self.update, methods=["PUT"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}/unread_count", self.unread_count),
            Route(f"{one}/unread_message_count", self.unread_count),
            Route(f"{one}/my_group_channels", self.my_group_channels),
            Route(f"{one}/mark_as_read_all", self.mark_as_read_all, methods=["PUT"]),
            Route(f"{one}/block", self.block, methods=["POST"]),
            Route(f"{one}/block", self.blocked),
            Route(f"{one}/block/{{target_id}}", self.unblock, methods=["DELETE"]),
            Route(f"{one}/metadata", self.metadata),
            Route(f"{one}/metadata", self.create_metadata, methods=["POST"]),
            Route(f"{one}/metadata", self.update_metadata, methods=["PUT"]),
            Route(f"{one}/metadata", self.delete_metadata, methods=["DELETE"]),
            Route(f"{one}/metadata/{{key}}", self.metadata_item),
            Route(f"{one}/metadata/{{key}}", self.update_metadata_item, methods=["PUT"]),
            Route(f"{one}/metadata/{{key}}", self.delete_metadata, methods=["DELETE"]),
        ]

    def _user(self, request: Request) -> User:
        return self._world.user(request.path_params["user_id"])

    async def create(self, request: Request) -> JSONResponse:
        given = await params.read(request)
        user_id = given.need_text("user_id", limit=90)
        nickname = given.need_text("nickname", limit=80, blank=True)
        profile_url = given.text("profile_url", limit=2048)
        issue = given.flag("issue_access_token")
        user = self._users.create(user_id, nickname, profile_url, issue_access_token=issue)
        if "metadata" in given:
            self._users.set_metadata(user, given.need_items("metadata"), create=True, update=True)
        return JSONResponse(views.user(user))

    async def index(self, request: Request) -> JSONResponse:
        given = params.query(request)
        mode = given.text("active_mode", "activated")
        if mode not in ("all", "activated", "deactivated"):
            raise errors.not_valid("active_mode", "all, activated or deactivated")
        wanted = given.texts("user_ids")
        found = [
            user
            for user in self._world.users.values()
            if (not wanted or user.user_id in wanted)
            and (mode == "all" or user.is_active == (mode == "activated"))
            and (given.flag("show_bot", True) or not user.is_bot)
        ]
        return JSONResponse(params.page(request, "users", found, views.listed))

    async def view(self, request: Request) -> JSONResponse:
        return JSONResponse(views.user(self._user(request)))

    async def update(self, request: Request) -> JSONResponse:
        user, given = self._user(request), await params.read(request)
        self._users.update(
            user,
            nickname=given.maybe_text("nickname", limit=80),
            profile_url=given.maybe_text("profile_url", limit=2048),
            is_active=given.maybe_flag("is_active"),
            is_online=given.maybe_flag("is_online"),  # the sandbox's own
            issue_access_token=given.flag("issue_access_token"),
            leave_all=given.flag("leave_all_when_deactivated", True),
        )
        return JSONResponse(views.user(user))

    async def delete(self, request: Request) -> JSONResponse:
        self._users.delete(self._user(request))
        return JSONResponse({})

    async def unread_count(self, request: Request) -> JSONResponse:
        return JSONResponse({"unread_count": self._world.unread_of(self._user(request).user_id)})

    async def my_group_channels(self, request: Request) -> JSONResponse:
        user, given = self._user(request), params.query(request)
        found = matching(self._world, list(self._world.channels_of(user.user_id)), given)
        if not given.flag("show_empty"):
            found = [channel for channel in found if self._world.messages[channel.channel_url]]
        with_members, receipts = given.flag("show_member"), given.flag("show_read_receipt")

        def view(channel: Channel) -> Json:
            return views.channel(
                self._world,
                channel,
                with_members=with_members,
                with_receipts=receipts,
                viewer=user.user_id,
            )

        return JSONResponse(params.page(request, "channels", found, view))

    async def mark_as_read_all(self, request: Request) -> JSONResponse:
        user, given = self._user(request), await params.read(request)
        wanted = given.texts("channel_urls")
        for channel in list(self._world.channels_of(user.user_id)):
            if not wanted or channel.channel_url in wanted:
                self._channels.read(channel, user)
        return JSONResponse({})

    async def block(self, request: Request) -> JSONResponse:
        user, given = self._user(request), await params.read(request)
        target = self._world.user(given.need_text("target_id"))
        self._users.block(user, target)
        return JSONResponse(views.listed(target))

    async def blocked(self, request: Request) -> JSONResponse:
        found = [self._world.user(user_id) for user_id in self._user(request).blocks]
        return JSONResponse(params.page(request, "users", found, views.listed))

    async def unblock(self, request: Request) -> JSONResponse:
        target = self._world.user(request.path_params["target_id"])
        self._users.unblock(self._user(request), target)
        return JSONResponse({})

    async def metadata(self, request: Request) -> JSONResponse:
        items, wanted = self._user(request).metadata, params.query(request).texts("keys")
        return JSONResponse({key: items[key] for key in items if not wanted or key in wanted})

    async def create_metadata(self, request: Request) -> JSONResponse:
        user, given = self._user(request), await params.read(request)
        items = given.need_items("metadata")
        self._users.set_metadata(user, items, create=True, update=False)
        return JSONResponse(items)

    async def update_metadata(self, request: Request) -> JSONResponse:
        user, given = self._user(request), await params.read(request)
        items = given.need_items("metadata")
        self._users.set_metadata(user, items, create=given.flag("upsert"), update=True)
        return JSONResponse(items)

    async def metadata_item(self, request: Request) -> JSONResponse:
        items, key = self._user(request).metadata, request.path_params["key"]
        if key not in items:
            raise errors.not_found("Metadata")
        return JSONResponse({key: items[key]})

    async def update_metadata_item(self, request: Request) -> JSONResponse:
        user, given = self._user(request), await params.read(request)
        items = {request.path_params["key"]: given.need_text("value", blank=True)}
        self._users.set_metadata(user, items, create=given.flag("upsert"), update=True)
        return JSONResponse(items)

    async def delete_metadata(self, request: Request) -> JSONResponse:
        self._users.delete_metadata(self._user(request), request.path_params.get("key"))
        return JSONResponse({})
