"""A receiver in this process: its application and its HTTP, without a network and without a Redis.

What it stores is kept in a list, and what it asks of Redis beside that is counted.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import uvicorn
from uvicorn.server import ServerState

from benchmarks.fuzz import origin
from benchmarks.fuzz.audit import Audit, Log
from benchmarks.fuzz.clock import Loop
from benchmarks.fuzz.plan import STATUS, Plan, fault
from benchmarks.fuzz.requests import LIMIT, Request
from benchmarks.fuzz.standins import Kept, Redis, Wire, no_such_bot
from receiver import app, settings
from receiver.protocol import LeanHttp
from receiver.sendbird.platform import Platform

PATIENCE = 200.0
"""Seconds, on the clock that jumps, after which nothing of a request may be left: beyond all time limits."""
STEPS = 2
TURNS = 60
"""Turns of the loop that every answer gets that waits for no time."""


class Stand:
    """The receiver. Call it with plans; `answered` and `stored` count what came of them."""

    def __init__(self) -> None:
        self.loop = Loop()
        asyncio.set_event_loop(self.loop)
        self.kept = Kept()
        self.redis = Redis()
        self.answered: Counter[int] = Counter()
        self._audit = Audit(self.kept, self.redis)
        self._audit.listen()
        self._lives = False
        config = settings.load(
            **origin.ENVIRONMENT,
            RECEIVER_REDIS_URL="redis://nowhere",
            RECEIVER_MAX_BODY=str(LIMIT),
            RECEIVER_DATA_DIR=str(Path(tempfile.gettempdir()) / "fuzz-never-made"),
        )
        self._patch = mock.patch.object(Platform, "get_bot", no_such_bot)
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
            raise RuntimeError(f"the application did not start: {self._audit.errors.found or self._lifespan}")

    @property
    def log(self) -> Log:
        """What is logged."""
        return self._audit.log

    @property
    def stored(self) -> int:
        """How many events were stored."""
        return self._audit.stored

    def __call__(self, plan: Plan) -> str:
        """Run a plan; say what is wrong with what came of it, or ""."""
        self._audit.begin()
        try:
            found = self.loop.run_until_complete(self._run(plan))
        except Exception as error:  # whatever leaves the protocol is a finding
            found = f"{type(error).__name__}: {str(error)[:200]}"
        return self._audit(plan) or found

    def judge(self, request: Request) -> str:
        """Have a request judged that the HTTP server has read already; as for a plan."""
        self._audit.begin()
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
        self._audit.errors.found.clear()  # of the cancelling

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

    def close(self) -> None:
        """End it."""
        self._lifespan.cancel()
        self.loop.run_until_complete(asyncio.wait([self._lifespan]))
        self.loop.close()
        self._patch.stop()
        asyncio.set_event_loop(None)
