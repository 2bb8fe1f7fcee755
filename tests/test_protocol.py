"""uvicorn's HTTP protocol made lean: answers in one piece, and idle connections that are closed."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from receiver.connections import Connections, Standing
from receiver.endings import BEYOND, MOST_HEADERS, MOST_PIPELINED, UNREAD
from receiver.joining import Joining
from receiver.protocol import LeanHttp
from tests.support import Served, answers, make_settings, read_all, request

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
        await connection.settle()
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


class TestHeads:
    async def test_large(self, connection):
        """A head beyond the limit is refused, and nothing behind it is taken."""
        await connection.ask(head(MAX_HEAD + 1) + GET)
        assert refused(connection) == (431, "too_large", "long_head")
        assert connection.scopes == []

    @pytest.mark.parametrize("size", [1, 7, 100, 5000])
    async def test_limit(self, connection, size):
        """A head within the limit is taken, in whatever pieces it comes."""
        connection.trickle(head(MAX_HEAD), size)
        await connection.settle()
        assert connection.wire.said.startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize("begun", [b"GET /", b"GET / HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\n"])
    async def test_endless(self, connection, begun):
        """A head that doesn't end is refused once it is beyond the limit: its path, a header, or many."""
        piece = b"a: b\r\n" if begun.endswith(b"\n") else b"yyyyyy"
        came = connection.trickle(begun + piece * MAX_HEAD, 6)
        assert refused(connection) == (431, "too_large", "long_head")
        assert came <= MAX_HEAD + 2 * len(piece)

    async def test_endless_at_once(self, connection):
        """So is one that comes in one piece."""
        connection.protocol.data_received(b"GET /" + b"y" * MAX_HEAD)
        assert refused(connection) == (431, "too_large", "long_head")

    async def test_no_more_is_parsed(self, connection):
        """Of one piece with far too many headers, no more is parsed than a head may have."""
        connection.protocol.data_received(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 50_000)
        assert refused(connection) == (431, "too_large", "long_head")
        assert len(connection.protocol.headers) <= 2 * MAX_HEAD / len(b"a:\r\n")

    async def test_behind_others(self, connection):
        """A head that begins behind other requests is counted from its own beginning."""
        await connection.ask(head(1000) * 3 + head(MAX_HEAD)[:-2])
        await connection.ask(b"\r\n")
        assert [status for status, _, _ in answers(connection.wire.said)] == [200] * 4

    async def test_many_headers(self, connection):
        """More headers than anybody needs are refused, however short they are."""
        await connection.ask(request("/", b"", *[("a", "")] * (MOST_HEADERS - 2)))
        assert connection.wire.said.startswith(b"HTTP/1.1 200 ")
        connection.wire.pieces.clear()
        await connection.ask(request("/", b"", *[("a", "")] * (MOST_HEADERS - 1)))
        assert refused(connection) == (431, "too_large", "headers")

    @pytest.mark.parametrize("before", [b"", GET])
    async def test_slow(self, connection, before):
        """A head that trickles gets a while from its first byte, and no longer."""
        await connection.ask(before + b"GET")
        connection.wire.pieces.clear()
        for byte in b" / H":
            connection.clock.pass_(PATIENCE / 4 - 0.01)
            connection.protocol.data_received(bytes([byte]))
        assert not connection.wire.closed
        connection.clock.pass_(1)
        assert refused(connection) == (408, "too_slow", "slow_head")

    @pytest.mark.parametrize("sent", [b"", b"\r\n"])
    async def test_silent(self, connection, sent):
        """A connection over which nothing comes is closed, and told nothing."""
        for _ in range(7):
            connection.protocol.data_received(sent)
            connection.clock.pass_(PATIENCE / 8)
        assert not connection.wire.closed
        connection.clock.pass_(PATIENCE / 8)
        assert connection.wire.closed
        assert connection.wire.said == b""

    async def test_line_ends_keep_nothing_alive(self, connection):
        """Line ends between requests are no requests: the connection is idle."""
        await connection.ask()
        connection.clock.pass_(KEEP_ALIVE - 1)
        connection.protocol.data_received(b"\r\n")
        connection.clock.pass_(1)
        assert connection.wire.closed

    async def test_while_in_flight(self, connection):
        """The time of a half request begins when the one before it is answered."""
        connection.open.clear()
        connection.protocol.data_received(GET + GET[:5])
        connection.clock.pass_(10 * PATIENCE)
        assert not connection.wire.closed
        assert connection.protocol.idle is None
        connection.open.set()
        await connection.settle()
        connection.clock.pass_(PATIENCE - 1)
        await connection.ask(GET[5:] + GET[:5])
        connection.clock.pass_(PATIENCE)
        assert connection.wire.closed
        assert [status for status, _, _ in answers(connection.wire.said)] == [200, 200, 408]


AMBIGUOUS = {
    "chunks in HTTP/1.0": chunks(b"0\r\n\r\n").replace(b"/1.1", b"/1.0"),
    "another coding first": chunks(b"0\r\n\r\n").replace(b": chunked", b": gzip, chunked"),
    "another coding last": chunks(b"0\r\n\r\n").replace(b": chunked", b": chunked, gzip"),
    "codings apart": chunks(b"0\r\n\r\n").replace(b": chunked", b": identity\r\ntransfer-encoding: chunked"),
    "chunked twice": chunks(b"0\r\n\r\n").replace(b": chunked", b": chunked\r\ntransfer-encoding: chunked"),
    "no coding": chunks(b"0\r\n\r\n").replace(b": chunked", b": identity"),
    "length and chunks": chunks(b"0\r\n\r\n").replace(b"host: t", b"content-length: 5"),
    "chunks and length": chunks(b"0\r\n\r\n").replace(b": chunked", b": chunked\r\ncontent-length: 5"),
    "a length twice": post(b"ab", ("content-length", "2")),
    "two lengths": post(b"ab", ("content-length", "1")),
    "a list of lengths": post(b"ab").replace(b": 2", b": 2, 2"),
    "a signed length": post(b"ab").replace(b": 2", b": +2"),
    "a space before a colon": post(b"ab").replace(b"length:", b"length :"),
    "a folded header": post(b"ab", ("x", "y\r\n z")),
    "bare line feeds": post(b"ab").replace(b"\r\n", b"\n"),
    "a bare carriage return": post(b"ab", ("x", "y\rz: 1")),
    "a chunk's size in C": chunks(b"0x2\r\nab\r\n0\r\n\r\n"),
    "a chunk's bare line feed": chunks(b"2\nab\r\n0\r\n\r\n"),
    "an upgrade": request("/", b"", ("connection", "upgrade"), ("upgrade", "h2c")),
    "a tunnel": b"CONNECT host:1 HTTP/1.1\r\nhost: t\r\n\r\n",
}


class TestAmbiguous:
    """What a proxy before us may read otherwise than we do could smuggle a request past it."""

    @pytest.mark.parametrize("name", AMBIGUOUS)
    async def test_refused(self, connection, name):
        """A request that can be read in two ways is refused, and what follows it is not taken for one."""
        connection.reads = True
        connection.trickle(AMBIGUOUS[name] + GET, 1000)
        await connection.settle()
        status, code, _ = refused(connection)
        assert (status, code) == (400, "malformed")
        assert connection.bodies == []

    async def test_after_the_others(self, connection):
        """What is no HTTP is answered behind the answers to what came before it."""
        connection.open.clear()
        connection.protocol.data_received(GET * 2 + b"nonsense\r\n\r\n")
        connection.protocol.data_received(GET)
        assert connection.wire.said == b""
        connection.open.set()
        await connection.settle()
        assert [status for status, _, _ in answers(connection.wire.said)] == [200, 200, 400]
        assert connection.wire.closed
        assert dict(connection.table.refusals.unread) == {"no_http": 1}

    async def test_body_after_the_others(self, connection):
        """So is a request whose body is broken, and it reaches nobody."""
        connection.open.clear()
        connection.protocol.data_received(GET + chunks(b"zz\r\n"))
        connection.open.set()
        await connection.settle()
        assert [status for status, _, _ in answers(connection.wire.said)] == [200, 400]
        assert [scope["method"] for scope in connection.scopes] == ["GET"]

    async def test_broken_while_read(self, connection):
        """Who waits for a body that turns out to be broken is told that nobody is there any more."""
        connection.reads = True
        connection.protocol.data_received(chunks(b"2\r\nab\r\n"))
        await asyncio.sleep(0)
        await connection.ask(b"zz\r\n")
        assert refused(connection) == (400, "malformed", "no_http")
        assert connection.bodies == []


class TestBodies:
    async def test_extensions(self, connection):
        """What surrounds a body's chunks is bounded, too."""
        connection.reads = True
        came = connection.trickle(chunks(b"2;" + b"x" * 4 * BEYOND), 1000)
        await connection.settle()
        assert refused(connection) == (413, "too_large", "framing")
        assert came <= BEYOND + 2000

    async def test_trailers(self, connection):
        """So are trailers; and none is taken for a header."""
        connection.reads = True
        await connection.ask(chunks(b"2\r\nab\r\n0\r\nx-late: x\r\n\r\n"))
        [scope] = connection.scopes
        assert connection.bodies == [b"ab"]
        assert b"x-late" not in dict(scope["headers"])
        connection.wire.pieces.clear()
        connection.trickle(chunks(b"2\r\nab\r\n0\r\n", b"x: y\r\n" * BEYOND), 1000)
        await connection.settle()
        assert refused(connection) == (413, "too_large", "framing")

    async def test_unread(self, connection):
        """A small body that nobody read is dropped, and the connection kept."""
        sent = post(b"x" * 50_000)
        connection.protocol.data_received(sent[:1000])
        await connection.settle()
        connection.trickle(sent[1000:], 1000)
        await connection.ask()
        assert [status for status, _, _ in answers(connection.wire.said)] == [200, 200]
        assert not connection.wire.closed

    async def test_unread_and_large(self, connection):
        """Of a large one no more is taken."""
        sent = post(b"x" * 4 * UNREAD)
        connection.protocol.data_received(sent[:1000])
        await connection.settle()
        assert connection.trickle(sent[1000:], 1000) <= UNREAD + 2000
        assert connection.wire.closed

    async def test_unread_and_slow(self, connection):
        """Nor is one waited for."""
        await connection.ask(post(b"x" * 10, length=1000))
        for _ in range(8):
            connection.clock.pass_(PATIENCE / 8)
            connection.protocol.data_received(b"x")
        assert connection.wire.closed

    async def test_unasked(self, connection):
        """A connection whose sender was to be asked for a body, and wasn't, is closed."""
        await connection.ask(post(b"", ("expect", "100-continue"), length=10))
        assert connection.wire.closed

    async def test_held(self, connection):
        """A body that isn't all there is accounted for, until it is, or its connection is lost."""
        connection.reads = True
        connection.protocol.data_received(post(b"x" * 500, length=1000))
        assert connection.table.held > 500
        await connection.ask(b"x" * 500)
        assert connection.table.held == 0
        connection.protocol.data_received(post(b"x" * 500, length=1000))
        connection.protocol.connection_lost(None)
        await connection.settle()
        assert connection.table.held == 0


class TestPipelining:
    async def test_flood(self, connection):
        """Of thousands of requests in one piece few are taken, and the connection ends behind them."""
        connection.open.clear()
        connection.protocol.data_received(GET * 5000)
        assert len(connection.protocol.pipeline) == MOST_PIPELINED
        connection.open.set()
        await connection.settle()
        assert [status for status, _, _ in answers(connection.wire.said)] == [200] * (MOST_PIPELINED + 1)
        assert connection.wire.closed
        assert dict(connection.table.refusals.unread) == {"pipelined": 1}

    async def test_paused(self, connection):
        """While requests wait behind one that is being answered, no more are read."""
        connection.reads = True
        connection.open.clear()
        connection.protocol.data_received(post(b"a") + post(b"b") + post(b"c"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert connection.wire.paused
        connection.open.set()
        await connection.settle()
        assert not connection.wire.paused
        assert connection.bodies == [b"a", b"b", b"c"]

    async def test_lost(self, connection):
        """Requests that wait when their connection is lost are dropped with it."""
        connection.open.clear()
        connection.protocol.data_received(GET * 3)
        connection.protocol.connection_lost(ConnectionResetError())
        connection.open.set()
        await connection.settle()
        assert len(connection.scopes) <= 1
        assert not connection.protocol.pipeline

    async def test_lost_while_answering(self, connection):
        """What answers a request whose connection is lost goes nowhere, also where others wait behind it."""
        connection.open.clear()
        connection.protocol.data_received(GET * 2)
        await asyncio.sleep(0)
        connection.protocol.connection_lost(ConnectionResetError())
        connection.open.set()
        await connection.settle()
        assert len(connection.scopes) == 1
        assert connection.wire.pieces == []  # uvloop would raise, and uvicorn log a traceback


class TestStanding:
    async def test_goes_with_requests(self, connection):
        """Each request's scope holds the standing of its connection."""
        await connection.ask()
        assert connection.scopes[0][Standing.KEY] is connection.protocol.standing

    async def test_table(self, connection):
        """A connection is in the table from its beginning to its end; idle unless a request is in flight."""
        assert len(connection.table) == 1
        assert connection.protocol.idle is not None
        connection.protocol.data_received(GET)
        assert connection.protocol.idle is None
        await connection.settle()
        assert connection.protocol.idle is not None
        connection.protocol.connection_lost(None)
        assert len(connection.table) == 0

    async def test_no_room(self, connection, monkeypatch):
        """A connection for which there is no room is closed at once."""
        monkeypatch.setattr(connection.table, "add", lambda one: False)
        connection.protocol.connection_made(connection.wire)
        assert connection.wire.aborted

    async def test_never_reads(self, connection):
        """Who doesn't read his answers for long is cut off; who does in time is not."""
        connection.protocol.pause_writing()
        connection.protocol.resume_writing()
        connection.clock.pass_(PATIENCE - 1)
        connection.protocol.pause_writing()
        connection.protocol.data_received(GET)
        connection.clock.pass_(PATIENCE - 0.1)
        assert not connection.wire.aborted
        connection.clock.pass_(0.1)
        assert connection.wire.aborted
        connection.protocol.connection_lost(None)
        await connection.settle()
