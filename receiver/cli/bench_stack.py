"""What `receiver bench` measures by default: a Redis, a receiver and a worker that nobody else uses."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Self

from receiver import ports, settings
from receiver.cli import notes
from receiver.cli.processes import Processes
from receiver.embedded import EmbeddedRedis
from receiver.errors import ReceiverError

HANDLER = "receiver.cli.bench_handler"
PATIENCE = 60.0
"""Seconds without any progress after which the worker is no longer waited for."""


class BenchStack:
    """`with BenchStack() as stack:` runs it in a folder of its own, which is removed at the end."""

    def __init__(self) -> None:
        self.token = token_hex(20)
        self.port = 0
        self._open = ExitStack()
        self._begun: dict[int, int] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def _start(self) -> None:
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="receiver-bench-")))
        self._log = folder / "log"
        self._reader = notes.Reader(folder / "notes")
        server = self._open.enter_context(EmbeddedRedis(folder / "redis"))
        self.port = ports.free()
        environment = {
            "RECEIVER_REDIS_URL": server.url,
            "RECEIVER_DATA_DIR": str(folder),
            "RECEIVER_HANDLERS": HANDLER,
            "RECEIVER_INBOX_LIMIT": "0",
            "SENDBIRD_API_TOKEN": self.token,
            "SENDBIRD_APP_ID": "BENCH",
            notes.FILE: str(folder / "notes"),
        }
        self._processes = self._open.enter_context(Processes())
        for name, arguments in (
            ("the receiver", ["serve", "--port", str(self.port)]),
            ("the worker", ["work", "--workers", "1"]),
        ):
            self._processes.start(name, arguments, environment, log=self._log, without=settings.names())
        try:
            self._processes.wait_for("the receiver", f"http://127.0.0.1:{self.port}/readyz")
        except ReceiverError as error:
            raise ReceiverError(f"{error}. It said:\n{self._said()}") from None

    def wait_for(self, count: int) -> dict[int, int]:
        """Wait until so many messages have been begun; return when each was (ns since the epoch).

        Raises:
            ReceiverError: nothing more happens, or a process has ended.
        """
        deadline = time.monotonic() + PATIENCE
        while len(self._begun) < count:
            self._processes.check()
            new = self._reader.read()
            for number, moment in new:
                self._begun.setdefault(number, moment)
            if new:
                deadline = time.monotonic() + PATIENCE
            elif time.monotonic() > deadline:
                raise ReceiverError(
                    f"{count - len(self._begun)} of {count} events were not handled within {PATIENCE:g} s. "
                    f"The worker said:\n{self._said()}"
                )
            time.sleep(0.02)
        return self._begun

    def _said(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
