"""The receiver's own processes, and a Redis of their own."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import redis

from benchmarks.speed import bodies, cores
from benchmarks.speed.children import OURS, Child
from receiver import ports
from receiver.embedded import EmbeddedRedis

NOTHING: Mapping[str, str] = {}
KEY = bytes(range(32))
ENCRYPTED: Mapping[str, str] = {"RECEIVER_ENCRYPTION_KEYS": base64.b64encode(KEY).decode()}
HANDLERS = "benchmarks.speed.jobs.ours"
_OWN = {b"info", b"config|resetstat", b"config", b"client|setinfo", b"client", b"hello", b"memory|usage"}
"""Commands by which Redis is looked at, or a connection begins."""


class Stack:
    """A Redis in `folder`, and what is started with it: `with Stack(folder) as stack: stack.serve()`."""

    def __init__(self, folder: Path, *, fsync: str = "everysec", redis_on: Sequence[int] = cores.ALL) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.server = EmbeddedRedis(folder / "redis", fsync=fsync)
        self.port = 0
        self._redis_on = redis_on
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.server)
        cores.pin(self.server.pid, self._redis_on)
        self.client = redis.Redis.from_url(self.server.url, socket_timeout=60)
        self._open.callback(self.client.close)
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(AssertionError):
            self.server.kill()  # what it holds is of no use to anybody
            self.server._process = None  # its context would end it a second time
        self._open.close()

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        more: Mapping[str, str] = NOTHING,
        *,
        on: Sequence[int] = cores.ALL,
    ) -> Child:
        """Start `receiver ARGUMENTS`, with `more` in its environment."""
        environment = {
            "RECEIVER_REDIS_URL": self.server.url,
            "RECEIVER_DATA_DIR": str(self.folder),
            "RECEIVER_HANDLERS": HANDLERS,
            "RECEIVER_INBOX_LIMIT": "0",
            "RECEIVER_SPOOL_LIMIT": "8GiB",
            "SENDBIRD_API_TOKEN": bodies.TOKEN,
            "SENDBIRD_APP_ID": "BENCH",
            **more,
        }
        child = Child([*OURS, *arguments], self.folder / f"{name}.log", environment=environment, on=on)
        self._open.push(child)
        return child

    def serve(self, more: Mapping[str, str] = NOTHING, *, on: Sequence[int] = cores.ALL) -> Child:
        """Start `receiver serve`, with `more` in its environment; return when it answers."""
        self.port = ports.free()
        child = self.start("serve", ["serve", "--port", str(self.port)], more, on=on)
        child.wait_for_page(f"http://127.0.0.1:{self.port}/readyz")
        return child

    def work(self, workers: int, more: Mapping[str, str]) -> Child:
        """Start `receiver work --workers N`, with `more` in its environment."""
        return self.start(f"work-{workers}", ["work", "--workers", str(workers)], more)

    def used(self) -> int:
        """Return the bytes that Redis uses for what it holds."""
        found: dict[str, Any] = self.client.info("memory")
        return int(found["used_memory"]) - int(found.get("mem_aof_buffer", 0))

    def commands(self) -> dict[str, int]:
        """Return how often each command has been called, those within scripts included."""
        stats: dict[str, Any] = self.client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): int(value["calls"]) for name, value in stats.items()}
        return {name: count for name, count in calls.items() if name.encode() not in _OWN}

    def asked(self) -> int:
        """Return how many commands Redis has run so far, those within scripts included."""
        found: dict[str, Any] = self.client.info("stats")
        return int(found["total_commands_processed"])

    def round_trips(self) -> int:
        """Return how often a client has asked and been answered: a pipeline counts once.

        Redis counts its reads from sockets and its writes to them. A long request takes several reads, and a
        long answer several writes, so the lesser number is the better one.
        """
        found: dict[str, Any] = self.client.info("stats")
        return min(int(found["total_reads_processed"]), int(found["total_writes_processed"]))

    def wait_until_quiet(self, within: float = 120.0) -> None:
        """Return when Redis has had next to nothing to do for half a second: what was to be done is done.

        This needs to know nothing of how the receiver does it.

        Raises:
            TimeoutError: it didn't get quiet.
        """
        deadline, quiet, before = time.monotonic() + within, 0, sum(self.commands().values())
        while quiet < 3:
            time.sleep(0.25)
            now = sum(self.commands().values())
            quiet = quiet + 1 if now - before < 60 else 0
            before = now
            if time.monotonic() > deadline:
                raise TimeoutError(f"Redis was not quiet within {within:g} s")
