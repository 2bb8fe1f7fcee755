"""Requests that wait together."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack

import httpx

from tests.app.serving import numbered, stored
from tests.support import answers, eventually, read_all, request, signed


def many_files() -> None:
    """Allow as many open files as the machine lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def post(number: int) -> bytes:
    body = numbered(number)
    return request("/sendbird/webhook", body, *signed(body).items(), ("connection", "close"))


class TestGroups:
    COUNT = 500

    def test_together(self, served, blocking):
        """Requests that wait together are stored together, each once, and each gets its own answer."""
        many_files()
        with ExitStack() as stack:
            connections = [stack.enter_context(served.connect()) for _ in range(self.COUNT)]
            httpx.get(f"{served.url}/readyz")
            before = blocking.info("stats")["total_reads_processed"]
            blocking.execute_command("CLIENT", "PAUSE", 30_000, "WRITE")
            for number, connection in enumerate(connections):
                connection.sendall(post(number))
            eventually(lambda: served.in_flight == self.COUNT)
            blocking.execute_command("CLIENT", "UNPAUSE")
            found = [answers(read_all(connection)) for connection in connections]
        reads = blocking.info("stats")["total_reads_processed"] - before
        assert [status for [(status, _, _)] in found] == [200] * self.COUNT
        bodies = {envelope.id: envelope.body for envelope in stored(blocking)}
        assert len(stored(blocking)) == self.COUNT
        assert [bodies[content["id"]] for [(_, _, content)] in found] == [
            numbered(number) for number in range(self.COUNT)
        ]
        assert reads < self.COUNT / 4

    def test_gone_while_waiting(self, served, blocking):
        """A client that goes away while it waits for its answer takes no other one's with it."""
        httpx.get(f"{served.url}/readyz")
        blocking.execute_command("CLIENT", "PAUSE", 30_000, "WRITE")
        with ExitStack() as stack:
            connections = [stack.enter_context(served.connect()) for _ in range(9)]
            for number, connection in enumerate(connections):
                connection.sendall(post(number))
            eventually(lambda: served.in_flight == 9)
            for connection in connections[::2]:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # resets
                connection.close()
            eventually(lambda: served.connections == 4)
            blocking.execute_command("CLIENT", "UNPAUSE")
            found = [answers(read_all(connection)) for connection in connections[1::2]]
        assert [status for [(status, _, _)] in found] == [200] * 4
        bodies = [envelope.body for envelope in stored(blocking)]
        assert bodies == [numbered(number) for number in range(9)]
