"""The same over a connection to a real `receiver serve`: what a client can see."""

from __future__ import annotations

import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.fuzz import origin, requests
from benchmarks.fuzz.requests import Request
from benchmarks.fuzz.served import Server
from benchmarks.timing.subjects import BODY, POOL, Subject, callback, wrong

# No application, so that no bot is looked up.
_SETTINGS = {
    name: value for name, value in origin.ENVIRONMENT.items() if "APP" not in name and "URL" not in name
}
_LONGER = b'{"category":"' + b"x" * 20_000 + b'"}'


class Client:
    """One connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __call__(self, raw: bytes) -> None:
        """Send a request and wait for its answer, which fits into one piece."""
        self._connection.sendall(raw)
        answer = self._connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 40"), answer[:200]


@contextmanager
def served(seed: int) -> Iterator[list[Subject]]:
    """Give what is measured, while a server runs."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), _SETTINGS)
        server.start()
        try:
            yield _subjects(Client(server.port), dice)
        finally:
            server.end()


def _subjects(client: Client, dice: random.Random) -> list[Subject]:
    right, secret, token = origin.sign(BODY), origin.SECRET.encode(), origin.BOT_TOKEN.encode()

    def signed(given: bytes, body: bytes = BODY) -> bytes:
        return _raw(Request(requests.WEBHOOK, [(b"x-sendbird-signature", given)], body, None))

    def at(given: bytes) -> bytes:
        return _raw(Request(requests.WEBHOOK + b"/" + given, [], BODY, None))

    def called(given: bytes) -> bytes:
        return _raw(Request(requests.BOT_PATH, [], callback(given), None))

    unknown = called(b"x" * 29).replace(b'"helper_bot"', b'"nobody_bot"')
    every = (
        ("webhook", right, signed),
        ("webhook with a secret", secret, at),
        ("bot callback", token, called),
    )
    found = [
        Subject(
            "control, socket: 8 KiB more to sign",
            "11 / 19 KiB",
            client,
            [signed(b"0" * 64, _LONGER[: 11 * 1024])],
            [signed(b"0" * 64, _LONGER[: 19 * 1024])],
            "apart",
        )
    ]
    for name, known, make in every:
        last = len(known) - 1
        made = [(make(wrong(known, 0, dice)), make(wrong(known, last, dice))) for _ in range(POOL)]
        first, second = ([pair[side] for pair in made] for side in (0, 1))
        found.append(Subject(f"socket: {name}", "wrong at first / last", client, first, second))
    found.append(
        Subject(
            "told, socket: which bots are configured",
            "known / unknown bot",
            client,
            [called(b"x" * 29)],
            [unknown],
            "either",
        )
    )
    return found


def _raw(made: Request) -> bytes:
    return requests.written(
        made, [(b"host", b"x"), (b"content-length", b"%d" % len(made.body))], made.body
    ).raw
