"""Plays Sendbird: signed webhooks at a constant rate, over connections that are kept and over new ones."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.speed import bodies

PATH = "/sendbird/webhook"
ANSWERS_WITHIN = 5.0
"""Sendbird's own."""
KEPT = 8
"""Connections that are kept. Each second request goes over one of them, the others over new ones."""


@dataclass
class Seen:
    """What the sender saw. Latencies are in milliseconds, from when a request was due."""

    answers: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return self.answers.total()

    def percentile(self, share: float) -> float:
        """Return the latency that `share` of the answers did not exceed."""
        ranked = sorted(self.latencies)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


class Line:
    """A connection that is kept, and used by one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free = asyncio.Lock()
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: bytes) -> str:
        """Send a request, and return the status of its answer."""
        async with self._free:
            if self._open is None:
                self._open = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                return await _exchange(*self._open, request)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            self._open[1].close()
        self._open = None


class Sender:
    """Sends `rate` webhooks a second, all of them different."""

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self._lines = [Line(port) for _ in range(KEPT)]
        self._number = 0

    async def run(self, seconds: float) -> Seen:
        """Send for so long; return when all is answered."""
        seen, began = Seen(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for count in range(int(seconds * self._rate)):
                due = began + count / self._rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._send(self._number, due, seen))
                self._number += 1
        return seen

    async def _send(self, number: int, due: float, seen: Seen) -> None:
        request = bodies.signed(PATH, bodies.body(number))
        line = self._lines[number // 2 % KEPT] if number % 2 else Line(self._port)
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                status = await line.post(request)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            status = type(error).__name__
        seen.answers[status] += 1
        seen.latencies.append((time.perf_counter() - due) * 1000)
        if not number % 2:
            line.close()

    def close(self) -> None:
        """Close what is kept."""
        for line in self._lines:
            line.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> str:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return head.split(b" ", 2)[1].decode()
