"""What the tests of the front share: a receiver that serves HTTP, and a Sendbird API that does as told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote

import redis
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from receiver import app, settings
from receiver.protocol import LeanHttp
from receiver.sendbird import wire
from receiver.sendbird.platform import Platform
from receiver.settings import Settings

API_TOKEN = "the-api-token-of-these-tests"
SECRET = "the-secret-of-these-tests"
BOT, BOT_TOKEN = "configured_bot", "the-token-of-the-configured-bot"


def eventually(condition: Callable[[], Any], *, within: float = 30.0) -> Any:
    """Return what `condition` gives once that is true."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it never came true: {condition}"
        time.sleep(0.005)
    return found


def make_settings(redis_url: str, **changes: Any) -> Settings:
    """Return settings with everything that lets requests in."""
    usual = {
        "SENDBIRD_API_TOKEN": f"{API_TOKEN}, another-token",
        "SENDBIRD_BOT_TOKENS": f"{BOT}:{BOT_TOKEN}",
        "RECEIVER_WEBHOOK_SECRET": SECRET,
        "RECEIVER_REDIS_URL": redis_url,
        "RECEIVER_SPOOL_LIMIT": "0",  # tests of the spool say otherwise
    }
    return settings.load(**(usual | changes))


class Served:
    """A receiver under uvicorn, set up as `receiver serve` does, on a port of its own."""

    def __init__(self, config: Settings, *, keep_alive: int = 75) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app.create(config),
                log_config=None,
                log_level="warning",
                http=LeanHttp,
                proxy_headers=False,
                access_log=False,
                server_header=False,
                timeout_keep_alive=keep_alive,
                timeout_graceful_shutdown=10,
            )
        )
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self._server.started)
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._listener.close()
        assert not self._thread.is_alive()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._server.server_state.connections)

    @property
    def in_flight(self) -> int:
        """How many requests have come and are not answered."""
        return len(self._server.server_state.tasks)

    def connect(self) -> socket.socket:
        """Return a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def exchange(self, sent: bytes) -> bytes:
        """Send bytes as they are; return all that comes until the server hangs up."""
        with self.connect() as connection:
            connection.sendall(sent)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Return all that comes until the other side hangs up, however it does."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return bytes(received)


def signed(body: bytes, token: str = API_TOKEN) -> dict[str, str]:
    """Return the headers of a genuine webhook."""
    return wire.headers(body, token)


def request(path: str, body: bytes, *headers: tuple[str, str | bytes], method: str = "POST") -> bytes:
    """Return a request's bytes, with a right content-length."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"host: test", b"content-length: %d" % len(body)]
    for name, value in headers:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answers(received: bytes) -> list[tuple[int, dict[str, str], dict[str, Any]]]:
    """Read the answers in what came over a connection: status, headers, JSON."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers["content-length"])
        content, received = received[:length], received[length:]
        found.append((int(first.split()[1]), headers, json.loads(content)))
    return found


def read_metrics(page: bytes) -> dict[tuple[str, ...], float]:
    """Parse a page as Prometheus does: (name, label values in the order of the labels' names) → value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


class Writes:
    """What changes in a Redis between two looks: commands that write, and keys."""

    READING = frozenset(
        {
            "info",
            "ping",
            "hexists",
            "hvals",
            "client|setinfo",
            "client|maint_notifications",
            "hello",
            "dbsize",
            "xlen",
            "scan",
        }
        | {"xrange", "xrevrange", "hlen", "hgetall", "config|set", "config|get", "select", "config|resetstat"}
        | {"command", "client", "config", "xlen", "scan"}
    )

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        client.config_resetstat()
        self._keys = self._size()

    def _size(self) -> int:
        return int(self._client.dbsize())

    def commands(self) -> dict[str, int]:
        """Return how often each writing command ran."""
        stats = self._client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): int(value["calls"]) for name, value in stats.items()}
        return {name: count for name, count in calls.items() if name not in self.READING}

    def none(self) -> bool:
        """Tell whether nothing was written."""
        return self.commands() == {} and self._size() == self._keys


class ScriptedApi(ThreadingHTTPServer):
    """A Platform API that knows `bots`, and answers `answers` by bot if there is one.

    While `hanging` is cleared it doesn't answer; while it is `away` it hangs up.
    """

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bots: dict[str, str] = {}
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}
        self.seen: list[str] = []
        self.tokens: set[str | None] = set()
        self.away = False
        self.hanging = threading.Event()
        self.hanging.set()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v3"

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Count a request that is being answered."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        yield
        with self._lock:
            self._at_once -= 1

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.hanging.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedApi
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        server = self.server
        with server.busy():
            server.seen.append(self.path)
            server.tokens.add(self.headers["api-token"])
            userid = unquote(self.path.removeprefix("/v3/bots/"))
            server.hanging.wait()
            if server.away:
                self.close_connection = True
                return
            if userid in server.answers:
                status, answer = server.answers[userid]
            elif userid in server.bots:
                status, answer = 200, {"bot": {"bot_userid": userid, "bot_token": server.bots[userid]}}
            else:
                status, answer = 400, {"error": True, "message": '"User" not found.', "code": 400201}
        content = json.dumps(answer).encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


async def _at_once(seconds: float) -> None:
    """Wait no time between attempts."""


@contextlib.asynccontextmanager
async def scripted_platform(api: ScriptedApi) -> AsyncIterator[Platform]:
    """Give a client of `api` that doesn't wait between its attempts."""
    async with Platform(api.url, API_TOKEN, sleep=_at_once) as platform:
        yield platform
