"""A receiver in this process: its application and its HTTP, without a network and without a Redis.

What it stores is kept in a list, and what it asks of Redis beside that is counted.
"""

from __future__ import annotations

import asyncio
import io
import logging
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import uvicorn
from uvicorn.server import ServerState

from benchmarks.fuzz import later, origin
from benchmarks.fuzz.clock import Loop
from benchmarks.fuzz.plan import STATUS, Plan, fault
from benchmarks.fuzz.requests import LIMIT, Request
from receiver import app, logs, settings
from receiver.errors import SendbirdRefused
from receiver.events import Envelope
from receiver.protocol import LeanHttp
from receiver.sendbird.api import NOT_FOUND
from receiver.sendbird.platform import Platform

PATIENCE = 200.0
"""Seconds, on the clock that jumps, after which nothing of a request may be left: beyond all time limits."""
STEPS = 2
TURNS = 60
"""Turns of the loop that every answer gets that waits for no time."""
_READING = {
    "info": {"used_memory": 1, "maxmemory": 0},
    "xlen": 0,
    "hvals": [],
    "hgetall": {},
    "hget": None,
    "hexists": 0,
    "get": None,
    "sismember": 0,
    "smembers": set(),
    "ping": True,
}


class Kept:
    """Stands for the storage."""

    spooling = False
    full = False

    def __init__(self) -> None:
        self.stored: list[Envelope] = []

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def spooled(self) -> tuple[int, int]:
        """Tell that there is no spool."""
        return 0, 0

    async def can_spool(self) -> bool:
        """Tell that there is no spool."""
        return False

    async def append(self, envelope: Envelope) -> str:
        """Keep it, a few turns of the loop later."""
        for _ in range(3):
            await asyncio.sleep(0)
        self.stored.append(envelope)
        return "inbox"


class Redis:
    """Stands for a client of Redis: knows nothing, and counts what isn't reading."""

    def __init__(self) -> None:
        self.writes: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def run(*_arguments: object, **_options: object) -> Any:
            if name not in _READING and name != "aclose":
                self.writes[name] += 1
                return 1
            return _READING.get(name)

        return run


class Wire:
    """Stands for a connection's transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.protocol: Any = None
        self.written = bytearray()
        self.paused = False
        self.closed = False
        self.lost = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell the addresses."""
        return {"peername": ("203.0.113.7", 50_000), "sockname": ("127.0.0.1", 80)}.get(name, default)

    def write(self, data: bytes) -> None:
        """Keep what is written. Behind `close` it is dropped; behind the end it is an error, as in uvloop."""
        if self.lost:
            raise RuntimeError("unable to perform operation on the transport; the handler is closed")
        if not self.closed:
            self.written += data

    def writelines(self, pieces: Any) -> None:
        """Write them all."""
        self.write(b"".join(pieces))

    def is_closing(self) -> bool:
        """Tell whether it ends."""
        return self.closed

    def close(self) -> None:
        """End the connection, as soon as the loop gets to it."""
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self.lose, None)

    abort = close

    def lose(self, error: Exception | None) -> None:
        """Tell the protocol that it is over."""
        self.closed = True
        if not self.lost:
            self.lost = True
            self.protocol.connection_lost(error)

    def pause_reading(self) -> None:
        """Bring nothing more, for now."""
        self.paused = True

    def resume_reading(self) -> None:
        """Bring more."""
        self.paused = False

    def is_reading(self) -> bool:
        """Tell whether more would be brought."""
        return not (self.paused or self.closed)

    def get_write_buffer_size(self) -> int:
        """Tell that all is sent."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing."""


class _Log(io.StringIO):
    """What is logged: counted, and looked through, but not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0
        self.size = 0
        self.leaks: list[str] = []

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        self.size += len(text)
        if any(secret.decode() in text for secret in origin.SECRETS):
            self.leaks.append(text[:300])
        return len(text)


class _Errors(logging.Handler):
    """Keeps what must not be logged: errors, and exceptions of any level."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.found.append(f"{record.name}: {str(record.msg)[:300]} {record.exc_info or ''}")


async def _no_such_bot(self: Platform, userid: str) -> NoReturn:
    raise SendbirdRefused("no such bot", status=400, code=NOT_FOUND)


class Stand:
    """The receiver. Call it with plans; `answered` and `stored` count what came of them."""

    def __init__(self) -> None:
        self.loop = Loop()
        asyncio.set_event_loop(self.loop)
        self.kept = Kept()
        self.redis = Redis()
        self.log = _Log()
        self.answered: Counter[int] = Counter()
        self.stored = 0
        self._lives = False
        logs.configure("json")
        root = logging.getLogger()
        [shown] = root.handlers
        assert isinstance(shown, logging.StreamHandler)
        shown.setStream(self.log)
        self.errors = _Errors()
        root.addHandler(self.errors)
        config = settings.load(
            **origin.ENVIRONMENT,
            RECEIVER_REDIS_URL="redis://nowhere",
            RECEIVER_MAX_BODY=str(LIMIT),
            RECEIVER_DATA_DIR=str(Path(tempfile.gettempdir()) / "fuzz-never-made"),
        )
        self._patch = mock.patch.object(Platform, "get_bot", _no_such_bot)
        self._patch.start()
        with (
            mock.patch.object(app, "connect", return_value=self.redis),
            mock.patch.object(app, "connect_many", return_value=self.redis),
            mock.patch.object(app, "Storage", return_value=self.kept),
        ):
            self.app = app.create(config)
        self._config = uvicorn.Config(
            self.app, log_config=None, access_log=False, proxy_headers=False, http=LeanHttp, ws="none"
        )
        self._config.load()
        self._state = ServerState()
        self._held: dict[str, Any] = {}
        self._lifespan = self.loop.create_task(self._live())
        try:
            self.loop.run_until_complete(self._rest_until_lives())
        except BaseException:
            self._patch.stop()  # other tests of this process have an API that answers
            raise

    async def _live(self) -> None:
        """Hold the application's lifespan open, for as long as this process lives."""
        began = False

        async def receive() -> dict[str, Any]:
            nonlocal began
            if began:
                await asyncio.Event().wait()
            began = True
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            self._lives = message["type"] == "lifespan.startup.complete"

        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._held}
        await self.app(scope, receive, send)

    async def _rest_until_lives(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if not self._lives:
            raise RuntimeError(f"the application did not start: {self.errors.found or self._lifespan}")

    def __call__(self, plan: Plan) -> str:
        """Run a plan; say what is wrong with what came of it, or ""."""
        self.kept.stored.clear()
        self.redis.writes.clear()
        try:
            found = self.loop.run_until_complete(self._run(plan))
        except Exception as error:  # whatever leaves the protocol is a finding
            found = f"{type(error).__name__}: {str(error)[:200]}"
        return self._audit(plan) or found

    def judge(self, request: Request) -> str:
        """Have a request judged that the HTTP server has read already; as for a plan."""
        self.kept.stored.clear()
        self.redis.writes.clear()
        path = request.path.decode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method.decode(),
            "scheme": "http",
            "path": path,
            "raw_path": request.path,
            "root_path": "",
            "query_string": b"",
            "headers": [*request.headers, (b"content-length", b"%d" % len(request.body))],
            "client": ("203.0.113.7", 50_000),
            "server": ("127.0.0.1", 80),
            "state": dict(self._held),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        try:
            self.loop.run_until_complete(self.app(scope, receive, send))
        except Exception as error:  # whatever leaves the application is a finding
            return f"{type(error).__name__}: {str(error)[:200]}"
        status = sent[0]["status"]
        self.answered[status] += 1
        proof = b" ".join([request.path, *(value for _, value in request.headers)])
        trouble = self._audit(Plan([proof], [request], "wait"))
        if not trouble and request.expects is not None and status not in request.expects:
            return f"answered {status}, expected {sorted(request.expects)}"
        return trouble

    async def _run(self, plan: Plan) -> str:
        wire = Wire(self.loop)
        protocol = LeanHttp(
            config=self._config, server_state=self._state, app_state=self._held, _loop=self.loop
        )
        wire.protocol = protocol
        protocol.connection_made(wire)  # type: ignore[arg-type] # it is like one
        for piece in plan.pieces:
            if not await self._may_read(wire):
                break
            protocol.data_received(piece)
            await asyncio.sleep(0)
        if plan.ending in {"wait", "end"}:
            await self._rest(wire)
        whole = plan.ending == "wait"
        if plan.ending == "end" and not wire.closed:
            protocol.eof_received()
        if plan.ending != "wait":
            wire.lose(ConnectionResetError() if plan.ending == "reset" else None)
        await self._rest(wire)
        for _ in range(STEPS):
            if wire.lost and not self._state.tasks:
                break
            await asyncio.sleep(PATIENCE / STEPS)
        if not wire.lost:
            wire.lose(None)
            await self._clear()
            return f"the connection is open after {PATIENCE:g} s"
        if self._state.tasks or self._state.connections:
            left = f"{len(self._state.tasks)} tasks, {len(self._state.connections)} connections"
            await self._clear()
            return f"a connection has ended, and is not forgotten: {left}"
        self.received = bytes(wire.written)
        self.answered.update(map(int, STATUS.findall(wire.written)))
        return fault(plan, bytes(wire.written), whole=whole)

    async def _clear(self) -> None:
        """Let the next input begin anew, after one that left something behind."""
        left = list(self._state.tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self._state.connections.clear()
        self.errors.found.clear()  # of the cancelling

    async def _may_read(self, wire: Wire) -> bool:
        """Wait until the protocol takes more; tell whether it does."""
        for _ in range(int(PATIENCE)):
            if not wire.paused or wire.closed:
                break
            await asyncio.sleep(1)
        return not wire.closed

    async def _rest(self, wire: Wire) -> None:
        for _ in range(TURNS):
            if wire.closed or not self._state.tasks:
                return
            await asyncio.sleep(0)

    def _audit(self, plan: Plan) -> str:
        """Look at what was stored, written and logged."""
        stored = self.kept.stored
        self.stored += len(stored)
        written = sum(self.redis.writes.values())
        if self.errors.found:
            return f"logged: {self.errors.found.pop()}"
        if self.log.leaks:
            return f"a secret in the log: {self.log.leaks.pop()}"
        if written > sum(one.source == "bot" for one in stored):  # which bots there are is noted
            return f"written: {dict(self.redis.writes)}"
        return next(filter(None, (self._doubt(one, plan) for one in stored)), "")

    def _doubt(self, envelope: Envelope, plan: Plan) -> str:
        if not origin.is_proved(envelope.source, envelope.body, plan.sent):
            return f"stored without a proof: {envelope!r}"
        if plan.regular and not any(envelope.body == one.body for one in plan.requests):
            return f"stored otherwise than it was sent: {envelope!r}"
        return later.trouble(envelope)

    def close(self) -> None:
        """End it."""
        self._lifespan.cancel()
        self.loop.run_until_complete(asyncio.wait([self._lifespan]))
        self.loop.close()
        self._patch.stop()
        asyncio.set_event_loop(None)
