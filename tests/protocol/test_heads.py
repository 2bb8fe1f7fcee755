"""Heads that are too large, too slow, or can be read in two ways."""

from __future__ import annotations

import asyncio

import pytest

from receiver.endings import MOST_HEADERS
from tests.protocol.wiring import GET, KEEP_ALIVE, MAX_HEAD, PATIENCE, chunks, head, post, refused
from tests.support import answers, request


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
