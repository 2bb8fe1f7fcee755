"""What the groups of calls of the Platform API have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from receiver.errors import SendbirdRefused
from receiver.sendbird.api import NOT_UNIQUE, Api, Json, Params
from receiver.sendbird.resources import Message, Raw, objects

PAGE = 100  # the most that Sendbird gives at once


class Endpoints:
    """Calls through one `Api`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Params | None = None,
        idempotent: bool | None = None,
    ) -> Json:
        """Make any call: `await platform.call("PUT", path_of("users", user_id, "push"), json={...})`.

        `path` is percent-encoded already; `idempotent` says that doing it twice does no harm, which by
        default holds for GET, PUT and DELETE. Returns the answer's JSON object.
        """
        return await self._api.call(method, path, json=json, params=params, idempotent=idempotent)

    async def _pages(self, path: str, key: str, **params: str | int) -> AsyncIterator[Raw]:
        """Iterate over the objects in `key` of all pages of a list."""
        token = ""
        while True:
            answer = await self.call("GET", path, params={**params, "limit": PAGE, "token": token})
            for raw in objects(answer, key):
                yield raw
            following = answer.get("next") or ""
            if not following:
                return
            if following == token:
                raise SendbirdRefused(f"GET {path}: the page after {token!r} is itself")
            token = str(following)

    async def _send(self, path: str, channel_url: str, body: Json) -> Message:
        """Send a message; one whose `dedup_id` is taken stands already, and counts as sent.

        That a taken `dedup_id` is refused with 400202 is our reading, not confirmed by a capture.
        """
        dedup_id = body["dedup_id"]
        try:
            answer = await self.call("POST", path, json=given(body), idempotent=dedup_id is not None)
        except SendbirdRefused as error:
            if dedup_id is None or error.code != NOT_UNIQUE:
                raise
            return Message.read(
                {**body, "channel_url": channel_url, "type": body.get("message_type", "MESG")}
            )
        nested = answer.get("message")  # a bot's answer nests the message object, the other one is it
        return Message.read(nested if isinstance(nested, dict) else answer)


def given(fields: Json) -> Json:
    """Leave out what is None."""
    return {key: value for key, value in fields.items() if value is not None}
