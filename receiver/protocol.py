"""uvicorn's HTTP protocol, with less work around each answer, and with limits on what a stranger may cost.

uvicorn writes the head of an answer and its body in two system calls, and sets a timer for each answer: what
a connection that is kept alive may be idle. Here it is one call, and one timer that is left to run: that
saves a sixth of what uvicorn takes for a request.

uvicorn limits neither heads nor what surrounds a body, waits without end for a head to come, takes in
thousands of requests that come in one piece, and logs a line for each that is none. Here each of these has
a bound. All of them look at requests that don't come in one piece, or are odd: the usual one pays for few.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from receiver import refusing
from receiver.connections import Connections, Standing
from receiver.joining import Flow, Joining
from receiver.refusing import MOST_HEADERS, Refused

NOTHING, HEAD, BODY = range(3)
"""What has begun to come over a connection, and is not complete."""

MOST_PIPELINED = 32
"""Requests that may wait behind one that is being answered."""
FRAMING = 256 * 1024
"""Bytes that may surround a chunked body: the sizes of its chunks, their extensions, trailers."""
UNREAD = 64 * 1024
"""Bytes of a body that are taken, and dropped, when its request was answered without reading it."""
_TELLING = frozenset((b"expect", b"transfer-encoding", b"upgrade"))

_log = structlog.get_logger("receiver.protocol")


class LeanHttp(HttpToolsProtocol):
    """For `uvicorn.run(http=...)`. What it does beside, and the names that it overrides, are uvicorn's.

    The application's lifespan gives it the table of `connections`.
    """

    held = 0
    _part = NOTHING
    _due: float | None = None
    _timer_at = 0.0
    _stuck: asyncio.TimerHandle | None = None
    _busy = False
    _odd = False
    _refused: Refused | None = None
    _last_words: bytes | None = None
    # In bytes. Of an unfinished head: how much has come, and how much of that may have come before it.
    _come = 0
    _slack = 0
    _at_most = 0
    _began = 0
    _taken = 0
    _framing = 0
    _dropped = 0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.standing = Standing()
        self._table: Connections = app_state["connections"] if app_state else Connections()
        self._max_head = self._table.max_head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(Joining(transport))  # type: ignore[arg-type] # it is like one
        self.flow = Flow(self.transport, self.pipeline)
        if self._table.add(self):
            self._wait(self._table.patience)
        else:
            self.evict()

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.drop(self)
        for timer in (self.timeout_keep_alive_task, self._stuck):
            if timer is not None:
                timer.cancel()
        self.pipeline.clear()
        super().connection_lost(exc)

    def evict(self) -> None:
        """Close at once, without a word."""
        self.transport.abort()

    @property
    def idle(self) -> float | None:
        """When it is to be closed if nothing comes; None while a request is in flight."""
        return None if self._busy else self._due

    def data_received(self, data: bytes) -> None:
        if self._last_words is not None:
            return
        part, taken, size = self._part, self._taken, len(data)
        self._at_most = self._come + size  # no head that ends in these bytes is larger
        self._began = 0
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(self._refused or refusing.NO_HTTP)
            return
        if self._part == HEAD:
            self._watch_head(size, alone=part == NOTHING and self._began == 1)
        elif self._part == BODY:
            self._watch_body(size, size - (self._taken - taken))

    def _watch_head(self, size: int, *, alone: bool) -> None:
        """Look after a head of which `size` more bytes have come. `alone`: nothing was before it in them."""
        if self._began:
            self._slack = 0 if alone else size
            self._wait(self._table.patience)
        self._come += size
        if self._come - self._slack > self._max_head:
            self._refuse(refusing.LONG_HEAD)

    def _watch_body(self, size: int, around: int) -> None:
        """Look after a body that is not all there: `size` more bytes have come, `around` of them no body."""
        if self._began:
            self._framing = self._dropped = 0
        else:
            self._framing += around
        if self.cycle.response_complete:
            self._dropped += size
            if self._dropped > UNREAD:
                self.transport.close()
        elif self._framing > FRAMING:
            self._refuse(refusing.FRAMING)
        else:
            self._table.hold(self, size)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[Standing.KEY] = self.standing  # type: ignore[literal-required] # a key of ours
        self._part = HEAD
        self._began += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part == BODY:  # a trailer: nobody asked for it
            return
        name = name.lower()
        if name in _TELLING:
            if name != b"expect":
                self._odd = True
            elif value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._odd or self._at_most > self._max_head or len(self.headers) > MOST_HEADERS:
            self._check_head()
        if len(self.pipeline) >= MOST_PIPELINED:
            raise self._refusal(refusing.PIPELINED)
        super().on_headers_complete()
        self._part = BODY
        self._busy = True
        self._due = None
        self._come = 0

    def _check_head(self) -> None:
        """Refuse a head that is too large, or can be read in two ways."""
        size = sum(len(name) + len(value) + 4 for name, value in self.headers) + len(self.url) + 20
        if size > self._max_head:
            raise self._refusal(refusing.LONG_HEAD)
        if len(self.headers) > MOST_HEADERS:
            raise self._refusal(refusing.HEADERS)
        self._odd = False
        if self.parser.should_upgrade():
            raise self._refusal(refusing.UPGRADE)
        codings = [
            value.strip(b" \t").lower() for name, value in self.headers if name == b"transfer-encoding"
        ]
        if codings and (codings != [b"chunked"] or self.parser.get_http_version() != "1.1"):
            raise self._refusal(refusing.CODING)

    def _refusal(self, refused: Refused) -> Exception:
        """Remember it, and return what to raise: the parser tells only that something was."""
        self._refused = refused
        return ValueError(refused.reason)

    def on_body(self, body: bytes) -> None:
        self._taken += len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._part = NOTHING
        if self.held:
            self._table.release(self)
        cycle = self.cycle
        if cycle.response_complete:  # it was answered unread, and has been dropped
            self._wait(self.timeout_keep_alive)
            return
        cycle.more_body = False
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined] # a Joining
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._busy = False
        if self._last_words is not None:
            self._end()
            return
        self.flow.resume_reading()
        if self._part == NOTHING:
            self._wait(self.timeout_keep_alive)
            return
        if self._part == BODY and self.expect_100_continue:  # whether its body comes, nobody can tell
            self.transport.close()
        self._wait(self._table.patience)

    def _refuse(self, refused: Refused) -> None:
        """End the connection with a refusal, behind the answers to what came before."""
        client = self.client[0] if self.client else None
        refusals = self._table.refusals
        refusals.unread[refused.reason] += 1
        refusals.note(client)
        refusals.tell(_log, refused.reason, client)
        broken = self.cycle if self._part == BODY else None  # the request whose body is wrong
        self._last_words = refusing.written(refused, self.server_state.default_headers)
        if broken is not None and broken.response_started:
            self._last_words = b""
        if broken is not None and self.pipeline:
            self.pipeline.popleft()
        elif broken is not None or not self._busy:
            self._end()
        if broken is not None:
            broken.disconnected = True
            broken.message_event.set()

    def _end(self) -> None:
        if self._last_words:
            self.transport.write(self._last_words)
        self.transport.close()

    def _unset_keepalive_if_required(self) -> None:
        """Leave the timer alone, of which uvicorn makes a new one each time."""

    def _wait(self, seconds: float) -> None:
        """Have the connection closed if nothing comes of it within so many seconds."""
        now = self.loop.time()
        self._due = now + seconds
        if self.timeout_keep_alive_task is not None:
            if self._timer_at <= self._due:
                return
            self.timeout_keep_alive_task.cancel()
        self._set_timer(seconds, now)

    def _set_timer(self, seconds: float, now: float) -> None:
        self._timer_at = now + seconds
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been waited for long enough; else look again then."""
        self.timeout_keep_alive_task = None
        if self._busy or self._due is None:  # the end of its next answer sets the timer
            return
        now = self.loop.time()
        left = self._due - now
        if left > 0:
            self._set_timer(left, now)
        elif self._part == HEAD:
            self._refuse(refusing.SLOW_HEAD)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """Give who doesn't read his answers as long as who doesn't send his requests."""
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(self._table.patience, self.evict)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
