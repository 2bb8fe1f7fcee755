"""uvicorn's HTTP protocol made lean: answers in one piece, and idle connections that are closed."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from receiver.joining import Joining
from receiver.protocol import LeanHttp
from tests.support import Served, make_settings, read_all, request

KEEP_ALIVE = 5
GET = request("/", b"", method="GET")


class Wire:
    """A transport that notes what is written."""

    def __init__(self):
        self.pieces = []
        self.closed = False

    def write(self, piece):
        self.pieces.append(piece)

    def close(self):
        self.closed = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

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
    """A connection to an application that answers when it is let."""

    def __init__(self, loop):
        self.clock, self.wire = Clock(loop), Wire()
        self.open = asyncio.Event()
        self.open.set()
        config = uvicorn.Config(
            self.answer, log_config=None, timeout_keep_alive=KEEP_ALIVE, interface="asgi3"
        )
        config.load()
        self.protocol = LeanHttp(config, ServerState(), {}, _loop=self.clock)
        self.protocol.connection_made(self.wire)

    async def answer(self, scope, receive, send):
        await self.open.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def ask(self, sent=GET):
        """Send a request, and wait for its answer."""
        self.protocol.data_received(sent)
        await asyncio.gather(*self.protocol.tasks)


@pytest.fixture
async def connection():
    return Connection(asyncio.get_running_loop())


class TestAnswers:
    async def test_one_piece(self, connection):
        """An answer's head and body leave in one piece, each answer in its own."""
        await connection.ask()
        await connection.ask()
        assert len(connection.wire.pieces) == 2
        for piece in connection.wire.pieces:
            assert piece.startswith(b"HTTP/1.1 200 OK\r\n")
            assert piece.endswith(b"\r\n\r\n{}")

    async def test_head(self, connection):
        """An answer that has no body leaves when it is complete."""
        await connection.ask(request("/", b"", method="HEAD"))
        [piece] = connection.wire.pieces
        assert piece.endswith(b"content-length: 2\r\n\r\n")

    async def test_pipelined(self, connection):
        """Requests that come together are answered each, in order."""
        connection.protocol.data_received(GET * 3)
        while connection.protocol.tasks:
            await asyncio.gather(*connection.protocol.tasks)
            await asyncio.sleep(0)
        assert len(connection.wire.pieces) == 3

    def test_continue(self):
        """A sender who waits to be asked for the body is asked at once."""
        wire = Wire()
        Joining(wire).write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert wire.pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]

    def test_pieces(self):
        """What follows the first piece of a body is not held back."""
        wire = Wire()
        joining = Joining(wire)
        for piece in (b"HTTP/1.1 200 OK\r\n\r\n", b"one", b"two"):
            joining.write(piece)
        assert wire.pieces == [b"HTTP/1.1 200 OK\r\n\r\none", b"two"]

    @pytest.mark.parametrize("end", [Joining.flush, Joining.close])
    def test_no_body(self, end):
        """An answer without a body is written when it ends, or the connection does: once."""
        wire = Wire()
        joining = Joining(wire)
        joining.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        end(joining)
        end(joining)
        assert wire.pieces == [b"HTTP/1.1 204 No Content\r\n\r\n"]
        assert wire.closed == (end is Joining.close)

    def test_over_a_socket(self, redis_url):
        """Over real connections: HEAD, 100-continue and a broken request are all answered."""
        awaited = (
            b"POST /sendbird/bot HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
        )
        with Served(make_settings(redis_url)) as server:
            close = ("connection", "close")
            assert b" 200 OK" in server.exchange(request("/healthz", b"", close, method="HEAD"))
            assert b" 400 Bad" in server.exchange(b"nonsense\r\n\r\n")
            with server.connect() as connection:
                connection.sendall(awaited)
                assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
                connection.sendall(b"{}")
                assert b" 401 " in connection.recv(1000)


class TestIdle:
    async def test_closed(self, connection):
        """A connection is closed when it has been idle for long enough, and not before."""
        await connection.ask()
        connection.clock.pass_(KEEP_ALIVE - 1)
        await connection.ask()
        connection.clock.pass_(KEEP_ALIVE - 1)
        assert not connection.wire.closed
        connection.clock.pass_(1)
        assert connection.wire.closed

    async def test_in_use(self, connection):
        """A connection whose request is still being answered is not idle, however long that takes."""
        await connection.ask()
        connection.open.clear()
        connection.protocol.data_received(GET)
        connection.clock.pass_(10 * KEEP_ALIVE)
        assert not connection.wire.closed
        connection.open.set()
        await asyncio.gather(*connection.protocol.tasks)
        connection.clock.pass_(KEEP_ALIVE)
        assert connection.wire.closed

    async def test_one_timer(self, connection):
        """However many requests come, one timer is set; none is left when the connection is lost."""
        for _ in range(5):
            await connection.ask()
            assert connection.clock.set == 1
        connection.protocol.connection_lost(None)
        assert connection.clock.set == 0

    def test_over_a_socket(self, redis_url):
        """Over a real connection: the server hangs up, and says nothing more."""
        with Served(make_settings(redis_url), keep_alive=1) as server, server.connect() as connection:
            connection.sendall(request("/healthz", b"", method="GET"))
            assert read_all(connection).endswith(b'{"ok":true}')
