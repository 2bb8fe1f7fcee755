"""`/applications`, as far as it concerns webhooks, and what only the sandbox has."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from receiver.sandbox import errors
from receiver.sandbox.api import params
from receiver.sandbox.api.bots import url
from receiver.sandbox.delivery import Delivery
from receiver.sandbox.views import Json
from receiver.sandbox.webhooks import CATEGORIES, Webhooks, WebhookSettings


class ApplicationApi:
    """Routes of the application's settings and of the delivery log."""

    def __init__(self, app_id: str, webhooks: Webhooks, delivery: Delivery) -> None:
        self._app_id = app_id
        self._webhooks = webhooks
        self._delivery = delivery

    def routes(self) -> list[BaseRoute]:
        """Return the routes, relative to `/v3`."""
        return [
            Route("/applications/info", self.info),
            Route("/applications/settings/webhook", self.webhook),
            Route("/applications/settings/webhook", self.change_webhook, methods=["PUT"]),
            # The sandbox's own: what was posted where, and how it went.
            Route("/sandbox/deliveries", self.deliveries),
        ]

    async def info(self, request: Request) -> JSONResponse:
        return JSONResponse({"app_id": self._app_id, "name": "Sandbox", "icon_url": ""})

    async def webhook(self, request: Request) -> JSONResponse:
        everything = params.query(request).flag("display_all_webhook_categories")
        return JSONResponse(self._webhook(everything=everything))

    async def change_webhook(self, request: Request) -> JSONResponse:
        given, now = await params.read(request), self._webhooks.settings
        events = given.texts("enabled_events") if "enabled_events" in given else now.enabled_events
        for event in events:
            if event not in (*CATEGORIES, "*"):
                raise errors.not_valid("enabled_events", f"categories the sandbox has, or *: not {event!r}")
        settings = WebhookSettings(
            enabled=given.flag("enabled", now.enabled),
            url=url("url", given.text("url", now.url)),
            include_members=given.flag("include_members", now.include_members),
            enabled_events=events,
        )
        if settings.enabled and not settings.url:
            raise errors.missing("url")
        self._webhooks.change(settings)
        return JSONResponse(self._webhook(everything=False))

    async def deliveries(self, request: Request) -> JSONResponse:
        newest_first = [record.to_json() for record in reversed(self._delivery.records)]
        return JSONResponse({"deliveries": newest_first})

    def _webhook(self, *, everything: bool) -> Json:
        fields: Json = asdict(self._webhooks.settings)
        return {"webhook": fields | ({"all_webhook_categories": list(CATEGORIES)} if everything else {})}
