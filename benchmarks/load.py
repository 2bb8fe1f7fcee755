"""Signed webhooks at full speed: some connections, each sending its bodies one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from receiver.signature import sign


@dataclass
class Sent:
    """How it went. `latencies` are in seconds; `seconds` is the whole run's length."""

    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Return the latency, in seconds, that `share` (0 to 1) of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


async def send(
    port: int,
    token: str,
    lanes: Iterable[Iterable[bytes]],
    *,
    path: str = "/sendbird/webhook",
    progress: Callable[[], object] | None = None,
) -> Sent:
    """Send each of `lanes` over a connection of its own, one body after the other."""
    sent = Sent()
    began = time.perf_counter()
    await asyncio.gather(
        *(_send_one_by_one(port, token.encode(), path, lane, sent=sent, progress=progress) for lane in lanes)
    )
    sent.seconds = time.perf_counter() - began
    return sent


async def _send_one_by_one(
    port: int,
    token: bytes,
    path: str,
    bodies: Iterable[bytes],
    *,
    sent: Sent,
    progress: Callable[[], object] | None,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n".encode()
    for body in bodies:
        head = start + b"x-sendbird-signature: %b\r\ncontent-length: %d\r\n\r\n" % (
            sign(token, body),
            len(body),
        )
        began = time.perf_counter()
        writer.write(head + body)
        status = await _read_answer(reader)
        sent.latencies.append(time.perf_counter() - began)
        sent.statuses[status] = sent.statuses.get(status, 0) + 1
        if progress is not None:
            progress()
    writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    await reader.readexactly(length)
    return int(head[9:12])
