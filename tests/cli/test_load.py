"""The load: what is sent, and what is told of it."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from receiver.cli import load
from receiver.cli.notes import Notes, Reader


class Server:
    """Answers each request with the next of `answers`, in its pieces, in turn; at None it hangs up."""

    def __init__(self, *answers):
        self.answers = itertools.cycle(answers)
        self.bodies = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.target = load.Target(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *error):
        self._server.close()

    async def _serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                answer = next(self.answers)
                if answer is None:
                    return
                for piece in answer:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


OK = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]
IN_PIECES = [b"HTTP/1.1 200 OK\r\ncontent-", b"length: 2\r\n\r", b"\no", b"k"]
BUSY = [b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"]


def requests(count):
    return [load.signed("/x", "token", b"%d" % number) for number in range(count)]


async def test_all_are_sent():
    """Each connection sends its requests in their order, however the answers come."""
    sent = requests(20)
    async with Server(OK, IN_PIECES) as server:
        ticks = []
        told = await load.send(server.target, [sent[:10], sent[10:], []], progress=lambda: ticks.append(1))
    assert sorted(server.bodies, key=int) == [b"%d" % number for number in range(20)]
    assert [one for one in server.bodies if int(one) < 10] == [b"%d" % number for number in range(10)]
    assert told.statuses == {200: 20}
    assert told.refused == 0
    assert len(ticks) == len(told.latencies) == 20
    assert told.rate > 0
    assert 0 < told.percentile(0.5) <= told.percentile(0.99)


async def test_refusals_are_counted():
    """An answer that is not 200 is told apart."""
    async with Server(OK, BUSY) as server:
        told = await load.send(server.target, [requests(4)])
    assert told.statuses == {200: 2, 503: 2}
    assert told.refused == 2


@pytest.mark.parametrize("pace", [False, True])
async def test_a_lost_connection(pace):
    """A server that hangs up is an error, and not a low rate."""
    async with Server(OK, None) as server:
        sending = (
            load.pace(server.target, requests(8), 1000, connections=2)
            if pace
            else load.send(server.target, [requests(4), requests(4)])
        )
        with pytest.raises(ConnectionResetError, match="the connection was lost"):
            await sending


async def test_requests_that_cannot_be_made():
    """An error of whatever makes the requests is not swallowed."""

    def failing():
        yield from requests(2)
        raise LookupError("no more")

    async with Server(OK) as server:
        with pytest.raises(LookupError):
            await load.send(server.target, [failing()])


async def test_the_pace():
    """Requests are due one after the other, and one that finds no free connection waits for it."""
    async with Server(IN_PIECES) as server:
        told = await load.pace(server.target, requests(50), 5000, connections=2)
    assert told.statuses == {200: 50}
    steps = {later - sooner for sooner, later in itertools.pairwise(told.times)}
    assert all(abs(step - 200_000) <= 1000 for step in steps)
    assert told.percentile(1.0) > told.percentile(0.0)


async def test_no_answer(monkeypatch):
    """A server that says nothing is not waited for without an end."""
    monkeypatch.setattr(load, "ANSWERS_WITHIN", 0.05)
    async with Server([]) as server:
        with pytest.raises(TimeoutError, match="no answer"):
            await load.pace(server.target, requests(3), 1000, connections=1)


def test_until():
    """It ends when the time is over, or when there are no more."""
    assert list(load.until(60, iter([b"a", b"b"]))) == [b"a", b"b"]
    assert list(load.until(0, iter([b"a"]))) == []
    assert load.Sent().rate == load.Sent().percentile(0.5) == 0.0


def test_notes(tmp_path):
    """What is noted can be read, piece by piece, each once."""
    file = tmp_path / "notes"
    reader, notes = Reader(file), Notes(file)
    assert reader.read() == []
    notes.add(7)
    notes.add(8)
    notes.write()
    notes.write()
    assert [number for number, _ in reader.read()] == [7, 8]
    with file.open("ab") as output:
        output.write(b"half")
    assert reader.read() == []
