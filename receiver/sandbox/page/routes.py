"""Routes of the chat page: the page itself, what it shows, what one can do there, what happens live."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from receiver.sandbox import errors, views
from receiver.sandbox.api import params
from receiver.sandbox.channels import Channels
from receiver.sandbox.delivery import Delivery, Record, masked_url
from receiver.sandbox.files import Files
from receiver.sandbox.live import Live
from receiver.sandbox.messages import Draft, Messages, named_in
from receiver.sandbox.model import Channel, User
from receiver.sandbox.users import Users
from receiver.sandbox.views import Json
from receiver.sandbox.webhooks import Webhooks
from receiver.sandbox.world import Occurrence, World

_HERE = Path(__file__).parent
_SHOWN = 200


class Page:
    """The chat page."""

    def __init__(
        self,
        *,
        app_id: str,
        world: World,
        users: Users,
        channels: Channels,
        messages: Messages,
        files: Files,
        webhooks: Webhooks,
        delivery: Delivery,
        live: Live,
    ) -> None:
        self._app_id = app_id
        self._world = world
        self._users = users
        self._channels = channels
        self._messages = messages
        self._files = files
        self._webhooks = webhooks
        self._delivery = delivery
        self._live = live
        self._templates = Jinja2Templates(directory=_HERE / "templates")

    def routes(self) -> list[BaseRoute]:
        """Return the routes. They belong behind a guard."""
        one = "/channels/{channel_url}"
        inside: list[BaseRoute] = [
            Route("/state", self.state),
            Route("/events", self.events),
            Route("/users", self.create_user, methods=["POST"]),
            Route("/users/{user_id}", self.switch, methods=["PUT"]),
            Route("/channels", self.create_channel, methods=["POST"]),
            Route(f"{one}/messages", self.messages),
            Route(f"{one}/messages", self.send, methods=["POST"]),
            Route(f"{one}/files", self.send_file, methods=["POST"]),
            Route(f"{one}/read", self.read, methods=["POST"]),
            Route(f"{one}/members", self.add_members, methods=["POST"]),
            Route(f"{one}/members/{{user_id}}", self.remove_member, methods=["DELETE"]),
        ]
        return [
            Route("/", self.show),
            Mount("/page", routes=inside),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ]

    def heard(self, occurrence: Occurrence) -> None:
        """Tell open pages what happened."""
        channel_url = occurrence.channel.channel_url if occurrence.channel else None
        data: Json = {"category": occurrence.category, "channel_url": channel_url}
        if occurrence.message:
            data["message"] = views.message(self._world, occurrence.message)
        self._live.tell("happened", data)

    def delivered(self, record: Record) -> None:
        """Tell open pages how a webhook or callback is doing."""
        self._live.tell("delivery", record.to_json())

    async def show(self, request: Request) -> Response:
        return self._templates.TemplateResponse(request, "chat.html", {"app_id": self._app_id})

    async def state(self, request: Request) -> JSONResponse:
        viewer = params.query(request).text("user_id")
        settings = self._webhooks.settings
        return JSONResponse(
            {
                "webhook": masked_url(settings.url) if settings.enabled else "",
                "users": [views.listed(user) | self._bot(user) for user in self._world.users.values()],
                "channels": [self._channel(channel, viewer) for channel in self._world.channels.values()],
                "deliveries": [record.to_json() for record in list(self._delivery.records)[-50:]],
            }
        )

    async def events(self, request: Request) -> StreamingResponse:
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(self._live.stream(), media_type="text/event-stream", headers=headers)

    async def messages(self, request: Request) -> JSONResponse:
        found = list(self._world.messages[self._chosen(request).channel_url].values())[-_SHOWN:]
        return JSONResponse({"messages": [views.message(self._world, message) for message in found]})

    async def create_user(self, request: Request) -> JSONResponse:
        given = await params.read(request)
        user_id = given.need_text("user_id", limit=90)
        user = self._users.create(user_id, given.text("nickname", limit=80) or user_id)
        self._users.update(user, is_online=True)
        return JSONResponse(views.listed(user))

    async def switch(self, request: Request) -> JSONResponse:
        user = self._world.user(request.path_params["user_id"])
        given = await params.read(request)
        self._users.update(user, is_online=given.need_flag("is_online"))
        return JSONResponse(views.listed(user))

    async def create_channel(self, request: Request) -> JSONResponse:
        given = await params.read(request)
        kind = given.need_text("kind")
        if kind not in ("group", "open"):
            raise errors.not_valid("kind", "group or open")
        people = [self._world.user(user_id) for user_id in given.texts("user_ids")]
        name = given.need_text("name", limit=1024)
        if kind == "open":
            channel = self._channels.create("open", name=name)
        else:
            channel = self._channels.create("group", name=name, users=people)
        return JSONResponse(self._channel(channel, ""))

    async def send(self, request: Request) -> JSONResponse:
        channel, given = self._chosen(request), await params.read(request)
        text = given.need_text("message", limit=20_000)
        if given.flag("admin"):
            message = self._messages.send(channel, None, Draft("ADMM", text))
        else:
            sender = self._sender(channel, given.need_text("user_id"))
            people = [self._world.users[user_id] for user_id in channel.members]
            draft = Draft("MESG", text, mentioned=named_in(text, people))
            message = self._messages.send(channel, sender, draft)
        return JSONResponse(views.message(self._world, message))

    async def send_file(self, request: Request) -> JSONResponse:
        channel, given = self._chosen(request), params.query(request)
        sender = self._sender(channel, given.need_text("user_id"))
        name, media_type = given.need_text("name"), given.text("type") or None
        draft = Draft("FILE", file=self._files.add(name, await request.body(), media_type))
        message = self._messages.send(channel, sender, draft)
        return JSONResponse(views.message(self._world, message))

    async def read(self, request: Request) -> JSONResponse:
        channel, given = self._chosen(request), await params.read(request)
        if channel.kind == "group":
            self._channels.read(channel, self._world.user(given.need_text("user_id")))
        return JSONResponse({})

    async def add_members(self, request: Request) -> JSONResponse:
        channel, given = self._chosen(request), await params.read(request)
        people = [self._world.user(user_id) for user_id in given.need_texts("user_ids")]
        inviter_id = given.maybe_text("inviter_id")
        if channel.kind == "open":
            raise errors.not_authorized("Bots and invitations are for group channels.")
        bots = [user for user in people if user.is_bot]
        self._channels.join(channel, bots)
        others = [user for user in people if not user.is_bot]
        self._channels.invite(channel, others, self._world.user(inviter_id) if inviter_id else None)
        return JSONResponse(self._channel(channel, ""))

    async def remove_member(self, request: Request) -> JSONResponse:
        channel = self._chosen(request)
        self._channels.leave(channel, [self._world.user(request.path_params["user_id"])])
        return JSONResponse(self._channel(channel, ""))

    def _chosen(self, request: Request) -> Channel:
        return self._world.channel(request.path_params["channel_url"])

    def _sender(self, channel: Channel, user_id: str) -> User:
        user = self._world.user(user_id)
        if channel.kind == "open":
            self._channels.enter(channel, user)
        return user

    def _bot(self, user: User) -> Json:
        bot = self._world.bots.get(user.user_id)
        return {"is_bot": bot is not None, "is_privacy_mode": bot.is_privacy_mode if bot else False}

    def _channel(self, channel: Channel, viewer: str) -> Json:
        fields = views.channel(self._world, channel, viewer=viewer)
        messages = self._world.messages[channel.channel_url].values()
        last = next(iter(reversed(messages)), None)
        fields["last_message"] = views.message(self._world, last) if last else None
        return fields | {"kind": channel.kind, "member_ids": list(channel.members)}
