"""uvicorn's HTTP protocol made lean: answers in one piece, in order, and idle connections that are closed."""

from __future__ import annotations

import asyncio

import pytest

from receiver.connections import Standing
from receiver.endings import MOST_PIPELINED
from receiver.joining import Joining
from tests.protocol.wiring import GET, KEEP_ALIVE, PATIENCE, Wire, post
from tests.support import Served, answers, make_settings, read_all, request


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
