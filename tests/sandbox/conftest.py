"""A sandbox that really listens, and a receiver of its posts that really listens, too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn

from receiver.sandbox import Sandbox, SandboxServer

APP_ID = "SANDBOX-TEST"
TOKEN = "a-test-token"


@dataclass
class Post:
    """One request that the receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def category(self) -> str:
        return self.json["category"]


@dataclass
class Receiver:
    """Where webhooks and callbacks go. It answers `statuses` in turn, then 200; None is no answer.

    `answer` is the body of each answer.
    """

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)
    answer: bytes = b"{}"
    connections: set[Any] = field(default_factory=set)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status = self.statuses.pop(0) if self.statuses else 200
        self.connections.add(tuple(scope["client"]))
        async with self._news:
            self.posts.append(Post(scope["path"], headers, body))
            self._news.notify_all()
        if status is None:
            await receive()  # until the other side gives up
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": self.answer})

    async def until(self, condition: Callable[[list[Post]], Any]) -> Any:
        """Wait until `condition` of the posts is true, and return it."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: condition(self.posts))
            return condition(self.posts)

    async def get(self, category: str, count: int = 1) -> Post:
        """Wait for the count-th post of a category."""

        def found(posts):
            fitting = [post for post in posts if post.category == category]
            return fitting[count - 1] if len(fitting) >= count else None

        return await self.until(found)

    def categories(self) -> list[str]:
        return [post.category for post in self.posts]


@contextlib.asynccontextmanager
async def serving(server: uvicorn.Server, listener: socket.socket):
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await task


def listen(port: int = 0) -> tuple[socket.socket, str]:
    listener = socket.create_server(("127.0.0.1", port))
    # Inherited by its connections: head and body of an answer are two packets, that wait for each other else.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    listener, url = listen()
    app = Receiver(url)
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    async with serving(uvicorn.Server(config), listener):
        yield app


@dataclass
class Running:
    """A sandbox under way: its address, and a client that holds its token."""

    sandbox: Sandbox
    url: str
    client: httpx.AsyncClient

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Call the API and return the answer, which must be a good one."""
        answer = await self.client.request(method, f"/v3{path}", json=body, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, body: Any = None, **more: Any) -> int:
        """Call the API and return the code with which it refuses."""
        answer = await self.client.request(method, f"/v3{path}", json=body, **more)
        fields = answer.json()
        assert answer.status_code == 400, answer.text
        assert fields["error"] is True
        assert fields["message"]
        return fields["code"]

    async def say(self, user_id: str, text: str, channel_url: str = "sandbox_team", **more: Any) -> Any:
        """Send a text message to a group channel."""
        body = {"message_type": "MESG", "user_id": user_id, "message": text, **more}
        return await self.call("POST", f"/group_channels/{channel_url}/messages", body)

    async def add_bot(self, callback_url: str = "", *, channel_url: str = "sandbox_team", **more: Any) -> Any:
        """Create a bot and put it into a channel."""
        body = {
            "bot_userid": "helper",
            "bot_nickname": "Helper Bot",
            "bot_profile_url": "",
            "bot_callback_url": callback_url,
            "is_privacy_mode": False,
            **more,
        }
        bot = await self.call("POST", "/bots", body)
        await self.call("POST", f"/bots/{body['bot_userid']}/channels", {"channel_urls": [channel_url]})
        return bot

    async def settled(self) -> list[Any]:
        """Wait until nothing is on its way any more, and return the delivery log, the newest first."""
        async with asyncio.timeout(15):
            while True:
                records = (await self.call("GET", "/sandbox/deliveries"))["deliveries"]
                if all(record["outcome"] != "waiting" for record in records):
                    return records
                await asyncio.sleep(0.01)


@pytest.fixture
def run():
    """Run a sandbox, seeded unless `empty`."""

    @contextlib.asynccontextmanager
    async def start(*, empty: bool = False, port: int = 0, **options: Any) -> AsyncIterator[Running]:
        listener, url = listen(port)
        options = {"app_id": APP_ID, "api_token": TOKEN, "pause": 0.01, "public_url": url, **options}
        sandbox = Sandbox(**options)
        if not empty:
            sandbox.seed()
        async with serving(SandboxServer(sandbox), listener):
            headers = {"api-token": options["api_token"]}
            async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
                yield Running(sandbox, url, client)

    return start


@pytest.fixture
async def box(run) -> AsyncIterator[Running]:
    """A seeded sandbox that posts nothing."""
    async with run() as running:
        yield running


@pytest.fixture
async def hooked(run, receiver) -> AsyncIterator[Running]:
    """A seeded sandbox whose webhooks go to `receiver`."""
    async with run(webhook_url=f"{receiver.url}/hook") as running:
        yield running
