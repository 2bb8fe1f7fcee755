"""What the tests of the protocol share: a wire, a clock, a connection, and what is sent over it."""

from __future__ import annotations

import asyncio

import uvicorn
from uvicorn.server import ServerState

from receiver.connections import Connections
from receiver.protocol import LeanHttp
from tests.support import answers, request

KEEP_ALIVE = 5
PATIENCE = 3
MAX_HEAD = 1024
GET = request("/", b"", method="GET")


class Wire:
    """A transport that notes what is written."""

    def __init__(self):
        self.pieces = []
        self.closed = self.aborted = self.paused = False

    @property
    def said(self):
        """All that was written."""
        return b"".join(self.pieces)

    def write(self, piece):
        self.pieces.append(piece)

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name):
        return None


class Clock:
    """An event loop's time, which passes when told, and its timers."""

    def __init__(self, loop):
        self.now = 100.0
        self.timers = []
        self.create_task = loop.create_task

    def time(self):
        return self.now

    def call_later(self, seconds, work):
        timer = Timer(self.now + seconds, work)
        self.timers.append(timer)
        return timer

    def pass_(self, seconds):
        """Let time pass, and run the timers that are due by then."""
        end = self.now + seconds
        while due := [one for one in self.timers if not one.cancelled and one.when <= end]:
            first = min(due, key=lambda one: one.when)
            self.timers.remove(first)
            self.now = first.when
            first.work()
        self.now = end

    @property
    def set(self):
        """How many timers are set."""
        return sum(not one.cancelled for one in self.timers)


class Timer:
    def __init__(self, when, work):
        self.when = when
        self.work = work
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


class Connection:
    """A connection to an application that answers when it is let, and reads bodies if it is told to."""

    def __init__(self, loop):
        self.clock, self.wire = Clock(loop), Wire()
        self.table = Connections(max_head=MAX_HEAD, patience=PATIENCE)
        self.reads, self.bodies, self.scopes = False, [], []
        self.open = asyncio.Event()
        self.open.set()
        config = uvicorn.Config(
            self.answer, log_config=None, timeout_keep_alive=KEEP_ALIVE, interface="asgi3"
        )
        config.load()
        state = {"connections": self.table}
        self.protocol = LeanHttp(config, ServerState(), state, _loop=self.clock)
        self.protocol.connection_made(self.wire)

    async def answer(self, scope, receive, send):
        self.scopes.append(scope)
        if self.reads:
            body, more = b"", True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body, more = body + message["body"], message["more_body"]
            self.bodies.append(body)
        await self.open.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def ask(self, sent=GET):
        """Send a request, and wait for its answer."""
        self.protocol.data_received(sent)
        await self.settle()

    async def settle(self):
        """Wait until nothing is left to do."""
        async with asyncio.timeout(10):
            while self.protocol.tasks:
                await asyncio.gather(*self.protocol.tasks)
                await asyncio.sleep(0)

    def trickle(self, sent, size=1):
        """Send bytes in small pieces; return how many came before the end of the connection."""
        for start in range(0, len(sent), size):
            if self.wire.closed:
                return start
            self.protocol.data_received(sent[start : start + size])
        return len(sent)


def head(size, *headers):
    """Return a request without a body, whose head has `size` bytes."""
    empty = request("/", b"", *headers, ("x", ""), method="GET")
    return empty.replace(b"x: ", b"x: " + b"y" * (size - len(empty)))


def post(body, *headers, length=None):
    return request("/", b"", *headers).replace(b"length: 0", b"length: %d" % (length or len(body))) + body


def chunks(*more):
    return b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(more)


def refused(connection):
    """Return how the connection was ended, and why."""
    [(status, headers, content)] = answers(connection.wire.said)
    assert connection.wire.closed
    assert headers["connection"] == "close"
    [reason] = connection.table.refusals.unread
    return status, content["code"], reason
