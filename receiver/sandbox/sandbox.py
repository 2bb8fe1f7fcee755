"""The sandbox: a Sendbird application on this machine, as an ASGI app."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp

from receiver.guard import Guard, SafeHeaders
from receiver.networks import ANYWHERE, Networks
from receiver.sandbox.api import gate
from receiver.sandbox.api.application import ApplicationApi
from receiver.sandbox.api.bots import BotsApi
from receiver.sandbox.api.channels import ChannelsApi
from receiver.sandbox.api.messages import MessagesApi
from receiver.sandbox.api.users import UsersApi
from receiver.sandbox.bots import Bots
from receiver.sandbox.callbacks import Callbacks
from receiver.sandbox.channels import Channels
from receiver.sandbox.delivery import Delivery
from receiver.sandbox.errors import ApiError
from receiver.sandbox.files import Files
from receiver.sandbox.live import Live
from receiver.sandbox.mail import SmtpSink
from receiver.sandbox.mailbox import Mailbox
from receiver.sandbox.messages import Messages
from receiver.sandbox.page.mails import MailPage
from receiver.sandbox.page.routes import Page
from receiver.sandbox.seeds import seed
from receiver.sandbox.store import Store
from receiver.sandbox.users import Users
from receiver.sandbox.webhooks import Webhooks, WebhookSettings
from receiver.sandbox.world import World

MOST_BYTES = 25 * 1024 * 1024


class Sandbox:
    """A local Sendbird: its API under `/v3`, its chat page at `/`, its webhooks and bot callbacks.

    Beside it an SMTP server, whose mails are shown at `/mail`.

    Args:
        app_id: The application's id, as webhooks name it.
        api_token: What calls must carry as `Api-Token`; webhooks and callbacks are signed with it.
        data_dir: Where state is kept across restarts. None: in memory.
        webhook_url: Where webhooks go. None: where an earlier life was told to send them, else nowhere.
        include_members: Whether webhooks carry the members of group channels.
        public_url: How others reach the sandbox; the links of uploaded files begin with it.
        page_token: What opens the pages to other machines. None: this machine only.
        networks: Tell whom a proxy before the pages speaks for.
        smtp: A socket on this machine that listens for mails. None: no mails are taken.
        timeout: How long an answer to a webhook or callback is waited for, in seconds.
        pause: How long to wait before the next of the three posts, in seconds.
    """

    def __init__(
        self,
        *,
        app_id: str,
        api_token: str,
        data_dir: Path | None = None,
        webhook_url: str | None = None,
        include_members: bool = True,
        public_url: str = "http://127.0.0.1:8001",
        page_token: SecretStr | None = None,
        networks: Networks = ANYWHERE,
        smtp: socket.socket | None = None,
        timeout: float = 5.0,
        pause: float = 1.0,
    ) -> None:
        self._store = Store(data_dir / "sandbox.db" if data_dir else None)
        self._world = World(self._store)
        self._delivery = Delivery(api_token, timeout=timeout, pause=pause)
        self._live = Live()
        self._channels = Channels(self._world)
        self._users = Users(self._world, self._channels)
        messages = Messages(self._world, self._channels)
        bots = Bots(self._world, self._users, self._channels, messages)
        files = Files(data_dir / "files" if data_dir else None, public_url)
        settings = WebhookSettings(bool(webhook_url), webhook_url or "", include_members)
        self._webhooks = webhooks = Webhooks(self._world, self._store, self._delivery, app_id, settings)
        page = Page(
            app_id=app_id,
            world=self._world,
            users=self._users,
            channels=self._channels,
            messages=messages,
            files=files,
            webhooks=webhooks,
            delivery=self._delivery,
            live=self._live,
        )
        mailbox = Mailbox(self._store)
        self._sink = SmtpSink(smtp.getsockname()[1], mailbox=mailbox, listener=smtp) if smtp else None
        smtp_url = self._sink.url if self._sink else ""
        mail_page = MailPage(mailbox=mailbox, live=self._live, smtp_url=smtp_url)
        mailbox.on_change = mail_page.changed
        self._world.listen(webhooks.heard)
        self._world.listen(Callbacks(self._world, self._delivery, app_id).heard)
        self._world.listen(page.heard)
        self._delivery.on_change = page.delivered
        api: list[BaseRoute] = [
            *ApplicationApi(app_id, webhooks, self._delivery).routes(),
            *UsersApi(self._world, self._users, self._channels).routes(),
            *BotsApi(self._world, bots, files).routes(),
        ]
        for kind in ("group", "open"):
            api += ChannelsApi(self._world, self._channels, kind).routes()
            api += MessagesApi(self._world, self._channels, messages, files, kind).routes()
        token_gate = Middleware(gate.TokenGate, token=api_token)
        pages = Router([*page.routes(), *mail_page.routes()], redirect_slashes=False)
        app = Starlette(
            routes=[
                Mount("/v3", routes=api, middleware=[token_gate]),
                Route("/files/{key}/{name}", files.serve),
                # Whatever else there is: what is added to the pages is behind the guard, too.
                Mount("", Guard(pages, token=page_token, public_url=public_url, networks=networks)),
            ],
            exception_handlers={
                ApiError: gate.on_api_error,
                HTTPException: gate.on_http_error,
                Exception: gate.on_failure,
            },
            lifespan=self._lifespan,
            max_body_size=MOST_BYTES,
        )
        self.page_token = page_token
        self.routes: list[BaseRoute] = [*app.routes[:-1], *pages.routes]
        self.app: ASGIApp = SafeHeaders(app)

    @property
    def webhook_url(self) -> str:
        """Where webhooks go at the moment; empty if nowhere."""
        settings = self._webhooks.settings
        return settings.url if settings.enabled else ""

    def seed(self) -> None:
        """Add sample users and channels, if there are none."""
        seed(self._world, self._users, self._channels)

    def end_streams(self) -> None:
        """End the live streams of open pages. A server that stops waits for them otherwise."""
        self._live.close()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._live.open()
        await self._delivery.start()
        if self._sink is not None:
            await self._sink.start()
        try:
            yield
        finally:
            self._live.close()
            if self._sink is not None:
                await self._sink.stop()
            await self._delivery.stop()
            self._store.close()
