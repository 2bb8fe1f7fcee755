"""Bodies: what surrounds them, and those that nobody reads."""

from __future__ import annotations

from receiver.endings import BEYOND, UNREAD
from tests.protocol.wiring import PATIENCE, chunks, post, refused
from tests.support import answers


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
