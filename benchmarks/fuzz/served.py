"""A real `receiver serve` with a real Redis: what comes over real connections, and what is written of it.

Every other phase proves nothing of its origin; while it lasts, nothing may be written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import redis

from benchmarks.fuzz import origin, plan, requests, targets
from benchmarks.fuzz.plan import Plan
from benchmarks.fuzz.watch import Watch
from receiver import ports
from receiver.cipher import PLAIN
from receiver.embedded import EmbeddedRedis
from receiver.pipeline import keys
from receiver.pipeline.inbox import open_all

ROOT = Path(__file__).parent.parent.parent
PHASE = 2500
AT_ONCE = 128
BODY_TIMEOUT = 0.5
ANSWERED_WITHIN = 10.0
"""Seconds in which an answer has to come; and those that are given to what may not be a request at all."""
LONG, SHORT = 2.0, 0.1
SETTLES = 0.3
"""Seconds in which the server is done with requests whose clients have gone."""


class Server:
    """The processes."""

    def __init__(self, folder: Path, settings: Mapping[str, str] = origin.ENVIRONMENT) -> None:
        self._folder = folder
        self._settings = settings
        self.redis = EmbeddedRedis(folder / "redis", fsync="no")
        self.log = folder / "serve.log"
        self.port = ports.free()

    def start(self) -> None:
        """Start them; return when requests are answered."""
        self.redis.start()
        settings = {
            **self._settings,
            "RECEIVER_REDIS_URL": self.redis.url,
            "RECEIVER_MAX_BODY": str(requests.LIMIT),
            "RECEIVER_BODY_TIMEOUT": f"{BODY_TIMEOUT:g}s",
            "RECEIVER_DATA_DIR": str(self._folder / "data"),
            "RECEIVER_LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
        }
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own
                [sys.executable, "-m", "receiver", "serve", "--port", str(self.port)],
                env=os.environ | settings,
                cwd=self._folder,
                stdout=output,
                stderr=output,
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + 30
        while not self.is_well():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def is_well(self) -> bool:
        """Tell whether it takes a webhook."""
        body = b'{"category":"fuzz:well","app_id":"%b"}' % origin.APP_ID.encode()
        made = requests.Request(requests.WEBHOOK, [(b"x-sendbird-signature", origin.sign(body))], body, None)
        made = requests.written(
            made, [(b"connection", b"close"), (b"content-length", b"%d" % len(body))], body
        )
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(made.raw)
            return connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        return False

    def end(self) -> int:
        """End them; return the server's exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.redis.stop()
        return code

    def complaints(self) -> list[str]:
        """Return what is in the log and must not be there."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            level = ""
            with suppress(orjson.JSONDecodeError):
                level = str(orjson.loads(line).get("level", ""))
            if level in {"error", "critical", "exception", ""} or "Traceback" in line:
                found.append(f"logged: {line[:300]}")
            if any(secret.decode() in line for secret in origin.SECRETS):
                found.append("a secret in the log")
        return found


class Ledger:
    """What Redis was told to do, and what stands in the inbox."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._writing = {
            name for name, told in self._client.command().items() if "write" in map(str, told["flags"])
        } | {"eval", "evalsha", "fcall"}
        self._last = "-"

    def writes(self) -> Counter[str]:
        """Return how often each command that writes has run."""
        stats: dict[str, Any] = self._client.info("commandstats")
        named = {name.removeprefix("cmdstat_"): int(told["calls"]) for name, told in stats.items()}
        return Counter({name: calls for name, calls in named.items() if name.split("|")[0] in self._writing})

    def state(self) -> tuple[int, int]:
        """Return the inbox's length, and the number of keys."""
        return int(self._client.xlen(keys.INBOX)), int(self._client.dbsize())

    def fresh(self) -> dict[str, Any]:
        """Return the events that were stored since the last call, by id."""
        entries: Any = self._client.xrange(keys.INBOX, min=self._last)
        if entries:
            self._last = f"({entries[-1][0].decode()}"
        return {envelope.id: envelope for _, envelope in open_all(entries, PLAIN)}


async def talk(port: int, made: Plan, number: int) -> tuple[bytes, bool]:
    """Send a plan; return what came, and whether all of it was waited for."""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        received = bytearray()
        in_turn = made.regular and made.pieces == [one.raw for one in made.requests]
        for sent, piece in enumerate(made.pieces):
            try:
                await asyncio.wait_for(loop.sock_sendall(connection, piece), ANSWERED_WITHIN)
            except (ConnectionError, TimeoutError):
                break
            if in_turn and made.ending == "wait":  # kept alive: the next request comes behind the answer
                if not await _hear(connection, received, sent + 1, ANSWERED_WITHIN):
                    break
            elif number % 3:
                await asyncio.sleep(0)
        if made.ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if made.ending in {"reset", "close"}:
            return bytes(received), False
        if made.ending == "end":
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        wanted = len(made.requests) if made.regular else None
        patience = ANSWERED_WITHIN if wanted else LONG if number % 10 == 0 else SHORT
        ended = not await _hear(connection, received, wanted, patience)
        return bytes(received), made.ending == "wait" and (wanted is not None or ended)


async def _hear(connection: socket.socket, received: bytearray, wanted: int | None, patience: float) -> bool:
    """Read until there are `wanted` answers, or it takes too long; tell whether it is still open."""
    loop = asyncio.get_running_loop()
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while wanted is None or _count(received) < wanted:
                try:
                    piece = await loop.sock_recv(connection, 65536)
                except ConnectionError:
                    return False
                if not piece:
                    return False
                received += piece
    return True


def _count(received: bytearray) -> int:
    with suppress(plan.Unreadable):
        return len(plan.answers(bytes(received)))
    return 0


class Run:
    """Tries inputs against the server, phase by phase."""

    def __init__(self, server: Server, watch: Watch, seed: int) -> None:
        self._server = server
        self._watch = watch
        self._inputs = targets.chance("http", seed)
        self._ledger = Ledger(server.redis.url)
        self._ledger.fresh()  # what has told that the server is well
        self.answered: Counter[int] = Counter()
        self.stored = 0
        self.unproved = 0

    async def phase(self, *, forgery: bool) -> None:
        """Try some thousand inputs; with `forgery`, none of them proves its origin."""
        before, state = self._ledger.writes(), self._ledger.state()
        count = min(PHASE, self._watch.wanted - self._watch.done)
        inputs = list(islice(self._inputs, count))
        plans = [plan.read(data, forgery=forgery) for data in inputs]
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> tuple[bytes, bool]:
            async with at_once:
                return await talk(self._server.port, plans[number], number)

        came = await asyncio.gather(*map(one, range(count)), return_exceptions=True)
        await asyncio.sleep(SETTLES)
        fresh = self._ledger.fresh()
        for data, made, found in zip(inputs, plans, came, strict=True):
            if isinstance(found, BaseException):
                trouble = f"{type(found).__name__}: {found}"
            else:
                trouble = self._judge(made, *found, fresh)
            self._watch.note(data, trouble, self._server.pid)
        sent = b"".join(made.sent for made in plans)
        for envelope in fresh.values():
            if not origin.is_proved(envelope.source, envelope.body, sent):
                self._watch.note(envelope.body, f"stored without a proof: {envelope!r}", self._server.pid)
                self._watch.done -= 1
        self.stored += len(fresh)
        if forgery:
            self.unproved += count
            written = self._ledger.writes() - before
            if written or self._ledger.state() != state:
                self._watch.note(b"", f"written for the unproved: {dict(written)}", self._server.pid)
                self._watch.done -= 1
        self._watch.more |= {"answered": dict(sorted(self.answered.items())), "stored": self.stored}
        self._watch.more["of these proved nothing, and wrote nothing"] = self.unproved

    def _judge(self, made: Plan, received: bytes, whole: bool, fresh: dict[str, Any]) -> str:
        self.answered.update(map(int, plan.STATUS.findall(received)))
        trouble = plan.fault(made, received, whole=whole)
        if trouble or not (whole and made.regular):
            return trouble
        for request, answer in zip(made.requests, plan.answers(received), strict=False):
            if answer.status == 200:
                envelope = fresh.get(orjson.loads(answer.content)["id"])
                if envelope is None or envelope.body != request.body:
                    return "answered 200, and not stored as it was sent"
        return ""


def run(inputs: int, seconds: float, seed: int, folder: Path) -> None:
    """Run the whole of it."""
    watch = Watch("socket", inputs, seconds, folder)
    place = folder / "served"
    place.mkdir(exist_ok=True)
    server = Server(place)
    server.start()
    one = Run(server, watch, seed)
    one._ledger.fresh()
    started = time.monotonic()
    phases = 0
    try:
        while watch.done < inputs and time.monotonic() < started + seconds:
            asyncio.run(one.phase(forgery=phases % 2 == 1))
            phases += 1
        if not server.is_well():
            watch.note(b"", "the server is not well afterwards", server.pid)
            watch.done -= 1
        watch.look(server.pid)
    finally:
        code = server.end()
    complaints = server.complaints() + ([f"exit code {code}"] if code else [])
    for complaint in complaints:
        watch.note(b"", complaint)
        watch.done -= 1
    text = server.log.read_bytes()
    watch.more |= {"log lines": text.count(b"\n"), "log bytes": len(text)}
    watch.tell(ended=True)


if __name__ == "__main__":
    run(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
