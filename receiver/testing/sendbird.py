"""Sendbird on a stage: the sandbox, in this process and without a socket, behind a transport that notes
each call and fails when told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import httpx
import orjson

from receiver.errors import SendbirdRefused
from receiver.events.fields import flag, items, mapping, text
from receiver.samples import API_TOKEN, APP_ID
from receiver.sandbox import Sandbox
from receiver.sendbird.api import path_of
from receiver.sendbird.platform import Platform
from receiver.testing.calls import Call
from receiver.testing.faults import Fault, Faults

BASE = "http://sendbird.test/v3"
MOST_MEMBERS = 50
"""Members of an event's channel whom the sandbox is told of."""

_PEOPLE = ("sender", "user", "inviter", "requester", "reporting_user", "offending_user")
_NEW = frozenset({"POST", "PUT", "DELETE", "PATCH"})


class Transport(httpx.AsyncBaseTransport):
    """The way to the sandbox, which is made when it is first needed (in about 1 ms)."""

    def __init__(self, faults: Faults, noted: Callable[[Call], None], bots: Mapping[str, object]) -> None:
        self._faults = faults
        self._noted = noted
        self._bots = bots
        self._sandbox: httpx.ASGITransport | None = None
        self._untold: list[dict[str, Any]] = []
        self._told: set[tuple[str, str]] = set()
        self._posted: set[tuple[str, str]] = set()
        self._guide = Guide(self, self._told)

    def tell(self, body: dict[str, Any]) -> None:
        """Have the sandbox know the people and the channel of an event, if it is ever asked for them."""
        self._untold.append(body)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request that a handler makes.

        Raises:
            httpx.ConnectError: a planned fault: no connection.
            httpx.ReadTimeout: a planned fault: the answer was lost.
        """
        await self._tell()
        fault = self._faults.next("sendbird")
        if fault is not None and fault.how != "loses the answer":
            self._note(request, None, fault)
            if fault.how == "is away":
                raise httpx.ConnectError("the stage's Sendbird is away", request=request)
            error = {"error": True, "message": "the stage's Sendbird fails", "code": fault.code}
            return httpx.Response(fault.status, json=error if fault.code else {"error": True})
        answer = await self.reach(request)
        self._note(request, answer, fault)
        if fault is not None:
            raise httpx.ReadTimeout("the stage's Sendbird lost the answer", request=request)
        return answer

    async def reach(self, request: httpx.Request) -> httpx.Response:
        """Have the sandbox answer a request; nobody takes note of it."""
        if self._sandbox is None:
            sandbox = Sandbox(app_id=APP_ID, api_token=API_TOKEN, public_url=BASE.removesuffix("/v3"))
            self._sandbox = httpx.ASGITransport(app=sandbox.app)
        answer = await self._sandbox.handle_async_request(request)
        await answer.aread()
        return answer

    async def _tell(self) -> None:
        untold, self._untold = self._untold, []
        for body in untold:
            await self._guide.tell(body, list(self._bots))

    def _note(self, request: httpx.Request, answer: httpx.Response | None, fault: Fault | None) -> None:
        body = _object(request.content)
        path = unquote(request.url.raw_path.decode().partition("?")[0]).removeprefix("/v3")
        status = answer.status_code if answer is not None else fault.status if fault else 0
        if fault is not None and fault.how != "answers":
            status = 0
        effect = "none"
        if answer is not None and answer.status_code < 300 and request.method in _NEW:
            effect = self._effect(request.method, path, body)
        self._noted(
            Call(
                request.method,
                path,
                dict(request.url.params),
                body,
                status,
                effect,
                _object(answer.content) if answer is not None else {},
            )
        )

    def _effect(self, method: str, path: str, body: dict[str, Any]) -> str:
        dedup_id = body.get("dedup_id")
        if dedup_id is None:
            return "new"
        place = (f"{path} {body.get('channel_url', '')}", str(dedup_id))
        effect = "repeat" if place in self._posted else "new"
        self._posted.add(place)
        return effect


class Guide:
    """Introduces people, bots and channels to the sandbox, over its API."""

    def __init__(self, transport: Transport, told: set[tuple[str, str]]) -> None:
        self._platform = make_platform(_Unnoted(transport))
        self._told = told

    async def tell(self, body: dict[str, Any], bots: list[str]) -> None:
        """Introduce who and what an event is about. What the sandbox refuses is left out."""
        people: dict[str, dict[str, Any]] = {}
        members = items(body.get("members"))[:MOST_MEMBERS]
        named = [*(body.get(key) for key in _PEOPLE), *items(body.get("users")), *members]
        for raw in named:
            person = mapping(raw)
            if user_id := text(person.get("user_id")):
                people[user_id] = people.get(user_id, {}) | person
        bot = text(mapping(body.get("bot")).get("bot_userid"))
        bots = list(dict.fromkeys([*bots, *([bot] if bot else [])]))
        for user_id in bots:
            people.pop(user_id, None)
            await self._add_bot(user_id)
        for user_id, person in people.items():
            await self._add_user(user_id, person)
        channel = mapping(body.get("channel")) or mapping(
            mapping(body.get("reported_message")).get("channel")
        )
        if channel_url := text(channel.get("channel_url")):
            kind = "open" if text(body.get("category")).startswith("open_channel") else "group"
            await self._add_channel(kind, channel_url, channel, [*people, *bots])

    async def _add_bot(self, userid: str) -> None:
        if self._is_new("bot", userid):
            face = {"bot_userid": userid, "bot_nickname": userid, "bot_profile_url": ""}
            await self._call("POST", "/bots", face | {"bot_callback_url": "", "is_privacy_mode": False})

    async def _add_user(self, user_id: str, person: dict[str, Any]) -> None:
        if self._is_new("user", user_id):
            face = {"user_id": user_id, "nickname": text(person.get("nickname"))[:80], "profile_url": ""}
            metadata = {str(key): text(value) for key, value in mapping(person.get("metadata")).items()}
            await self._call("POST", "/users", face | ({"metadata": metadata} if metadata else {}))
            if "is_online" in person:
                online = {"is_online": flag(person["is_online"])}
                await self._call("PUT", path_of("users", user_id), online)

    async def _add_channel(
        self, kind: str, channel_url: str, channel: dict[str, Any], people: list[str]
    ) -> None:
        named = {name: text(channel.get(name)) for name in ("name", "data", "custom_type")}
        if self._is_new(kind, channel_url):
            known = [one for one in people if kind == "group"]
            await self._call(
                "POST", f"/{kind}_channels", {"channel_url": channel_url, "user_ids": known} | named
            )
            self._told.update((channel_url, one) for one in known)
        elif kind == "group" and channel_url not in (".", ".."):
            new = [one for one in people if self._is_new(channel_url, one)]
            if new:
                path = path_of("group_channels", channel_url, "invite")
                await self._call("POST", path, {"user_ids": new})

    def _is_new(self, kind: str, name: str) -> bool:
        is_new = (kind, name) not in self._told
        self._told.add((kind, name))
        return is_new

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> None:
        with suppress(SendbirdRefused, ValueError):
            await self._platform.call(method, path, json=body)


class _Unnoted(httpx.AsyncBaseTransport):
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.reach(request)


def make_platform(transport: httpx.AsyncBaseTransport) -> Platform:
    """Return a client that doesn't repeat a failed call by itself: what is made to fail reaches handlers."""
    return Platform(BASE, API_TOKEN, transport=transport, attempts=1, sleep=lambda seconds: asyncio.sleep(0))


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(content) if content else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
