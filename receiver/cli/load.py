"""Load: many requests over some connections, as fast as they are answered or at a rate."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from receiver.signature import sign

CONNECTIONS = 64
ANSWERS_WITHIN = 10.0
"""Seconds without any answer after which no more are waited for."""
TICK = 0.001
"""Seconds: requests that are due within one go together. (uvloop's timers know no less.)"""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go."""

    port: int
    host: str = "127.0.0.1"
    secure: bool = False


@dataclass
class Sent:
    """How it went. `latencies` are in seconds, in the order of the answers; `seconds` is the run's length.

    `times` are the moments at which requests were due (ns since the epoch), in their order.
    """

    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    times: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def refused(self) -> int:
        """How many were not answered 200."""
        return len(self.latencies) - self.statuses.get(200, 0)

    def percentile(self, share: float) -> float:
        """Return the latency, in seconds, that `share` (0 to 1) of the requests did not exceed."""
        return percentile(self.latencies, share)

    def note(self, status: int, latency: float) -> None:
        """Note an answer."""
        self.latencies.append(latency)
        self.statuses[status] = self.statuses.get(status, 0) + 1


def percentile(values: Iterable[float], share: float) -> float:
    """Return what `share` (0 to 1) of the values do not exceed, and 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def signed(path: str, token: str, body: bytes, *, host: str = "127.0.0.1") -> bytes:
    """Return a webhook as it goes over the wire, signed as Sendbird does."""
    return (
        b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\nx-sendbird-signature: %b\r\n"
        b"content-length: %d\r\n\r\n%b"
    ) % (path.encode(), host.encode(), sign(token.encode(), body), len(body), body)


def until(seconds: float, requests: Iterator[bytes]) -> Iterator[bytes]:
    """Give `requests` for so many seconds."""
    end = time.perf_counter() + seconds
    for one in requests:
        if time.perf_counter() >= end:
            return
        yield one


async def send(
    target: Target, lanes: Iterable[Iterable[bytes]], *, progress: Callable[[], object] | None = None
) -> Sent:
    """Send the requests of each of `lanes` over a connection of its own, each when the last is answered.

    Raises:
        OSError: there is no connection, or one was lost.
    """
    sent = Sent()

    async def send_one_by_one(requests: Iterable[bytes]) -> None:
        done = asyncio.get_running_loop().create_future()
        left = iter(requests)

        def next_one(connection: _Connection, latency: float, status: int) -> None:
            sent.note(status, latency)
            if progress is not None:
                progress()
            try:
                go_on(connection)
            except Exception as error:  # whatever makes the requests may fail
                _set(done, error)

        def go_on(connection: _Connection) -> None:
            request = next(left, None)
            if request is None:
                _set(done)
            else:
                connection.send(request)

        connection = await _connect(target, next_one, lambda error: _set(done, error))
        try:
            go_on(connection)
            await done
        finally:
            connection.close()

    began = time.perf_counter()
    tasks = [asyncio.create_task(send_one_by_one(requests)) for requests in lanes]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    sent.seconds = time.perf_counter() - began
    return sent


async def pace(
    target: Target, requests: Sequence[bytes], rate: float, *, connections: int = CONNECTIONS
) -> Sent:
    """Send `requests` at `rate` a second, whatever the answers take. Latencies count from when each was due.

    One for which no connection is free waits for one, and that counts, too.

    Raises:
        OSError: there is no connection, or one was lost.
        TimeoutError: there were no answers any more.
    """
    loop, sent = asyncio.get_running_loop(), Sent()
    done = loop.create_future()
    free: list[_Connection] = []
    waiting: deque[tuple[bytes, float]] = deque()

    def answered(connection: _Connection, latency: float, status: int) -> None:
        sent.note(status, latency)
        if waiting:
            connection.send(*waiting.popleft())
        else:
            free.append(connection)
        if len(sent.latencies) == len(requests):
            _set(done)

    every = [await _connect(target, answered, lambda error: _set(done, error)) for _ in range(connections)]
    free += every
    try:
        began, clock, number = time.perf_counter(), time.time_ns(), 0
        while number < len(requests) and not done.done():
            now = time.perf_counter() - began
            while number < len(requests) and number / rate <= now:
                due = number / rate
                sent.times.append(clock + round(due * 1e9))
                if free:
                    free.pop().send(requests[number], began + due)
                else:
                    waiting.append((requests[number], began + due))
                number += 1
            await asyncio.sleep(max(TICK, number / rate - (time.perf_counter() - began)))
        while not done.done():
            before = len(sent.latencies)
            await asyncio.wait([done], timeout=ANSWERS_WITHIN)
            if len(sent.latencies) == before and not done.done():
                raise TimeoutError(f"there was no answer for {ANSWERS_WITHIN:g} s")
        done.result()
        sent.seconds = time.perf_counter() - began
    finally:
        for connection in every:
            connection.close()
    return sent


class _Connection(asyncio.Protocol):
    """A connection with one request at a time. A stream's reader and writer cost three times as much."""

    def __init__(
        self,
        answered: Callable[[_Connection, float, int], None],
        lost: Callable[[OSError], None],
    ) -> None:
        self._answered = answered
        self._lost = lost
        self._since = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's by class

    def send(self, request: bytes, since: float | None = None) -> None:
        """Send a request, whose latency counts from `since`: from now, without it."""
        self._since = time.perf_counter() if since is None else since
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got = got = self._got + data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(got, 0, end)
        if len(got) < end + 4 + (int(length[1]) if length else 0):
            return
        self._got = b""
        self._answered(self, time.perf_counter() - self._since, int(got[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(ConnectionResetError(f"the connection was lost: {exc or 'it was closed'}"))

    def close(self) -> None:
        self._lost = lambda _: None
        self._transport.close()


async def _connect(
    target: Target,
    answered: Callable[[_Connection, float, int], None],
    lost: Callable[[OSError], None],
) -> _Connection:
    context = ssl.create_default_context() if target.secure else None
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: _Connection(answered, lost), target.host, target.port, ssl=context
    )
    return connection


def _set(done: asyncio.Future[None], error: Exception | None = None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
