"""A Sendbird that answers as it is told, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import pytest

from receiver.sendbird.platform import Platform

TOKEN = "0123456789abcdef0123456789abcdef01234567"

Act = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    """A request as it arrived. `target` is the path and the query, undecoded."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        query = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {key: values[0] for key, values in query.items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Sendbird:
    """Each request gets the next act of the script; without one it gets 200 {}."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.waits: list[float] = []
        self._script: deque[Act] = deque()

    async def start(self) -> None:
        self._ended = asyncio.Event()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v3"

    async def stop(self) -> None:
        self._ended.set()
        self._server.close()
        await self._server.wait_closed()

    def platform(self, **options: Any) -> Platform:
        """A client of this server that notes its waits instead of waiting."""

        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        return Platform(**{"base_url": self.url, "token": TOKEN, "sleep": sleep, **options})

    def answers(
        self,
        status: int = 200,
        answer: Any = None,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        """Answer with `answer` as JSON, or with `body` as it is."""
        content = json.dumps({} if answer is None else answer).encode() if body is None else body

        async def act(writer: asyncio.StreamWriter) -> None:
            lines = {"content-length": str(len(content)), **(headers or {})}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"HTTP/1.1 {status} -\r\n{head}\r\n".encode() + content)
            await writer.drain()

        self._script.append(act)

    def refuses(self, code: int, message: str = "no", status: int = 400, **headers: str) -> None:
        """Answer with an error of the API."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers(status, {"error": True, "message": message, "code": code}, headers=named)

    def hangs(self) -> None:
        """Take the request and never answer."""

        async def act(writer: asyncio.StreamWriter) -> None:
            await self._ended.wait()

        self._script.append(act)

    def resets(self) -> None:
        """Take the request and reset the connection."""

        async def act(writer: asyncio.StreamWriter) -> None:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

        self._script.append(act)

    def breaks_off(self) -> None:
        """Send half of an answer, then close the connection."""

        async def act(writer: asyncio.StreamWriter) -> None:
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"half"')
            await writer.drain()
            writer.close()

        self._script.append(act)

    def drips(self) -> None:
        """Send an answer that never ends, in pieces that each arrive in time."""

        async def act(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            while not self._ended.is_set() and not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.wait([asyncio.ensure_future(self._ended.wait())], timeout=0.01)

        self._script.append(act)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                if self._script:
                    await self._script.popleft()(writer)
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                if writer.is_closing():
                    break
        except ConnectionError:
            pass  # the client gave up, as some tests want it to
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    connection = h11.Connection(h11.SERVER)
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode(): value.decode() for name, value in head.headers}
            return Request(head.method.decode(), head.target.decode(), headers, body)
        else:
            return None


@pytest.fixture
async def sendbird(anyio_backend: str) -> AsyncIterator[Sendbird]:
    """A scripted Sendbird on a free port."""
    server = Sendbird()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def platform(sendbird: Sendbird) -> AsyncIterator[Platform]:
    """A client of the scripted Sendbird."""
    async with sendbird.platform() as client:
        yield client
