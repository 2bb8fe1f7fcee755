"""uvicorn's HTTP protocol, with less work around each answer, and with limits on what a stranger may cost.

uvicorn writes the head of an answer and its body in two system calls, and sets a timer for each. Here it is
one call, and one timer that is left to run: that saves a sixth of what uvicorn takes for a request.

uvicorn limits neither heads nor what surrounds a body, waits without end for a head to come, takes in
thousands of requests that come in one piece, and logs a line for each that is none. Here each of these has
a bound. All of them look at requests that don't come in one piece, or are odd: the usual one pays for few.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import structlog
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from receiver import endings, heads
from receiver.connections import Connections, Standing
from receiver.endings import BEYOND, MOST_HEADERS, MOST_PIPELINED, UNREAD, Ending
from receiver.heads import TELLING, parts
from receiver.joining import Flow, Joining
from receiver.patience import PatientHttp

NOTHING, HEAD, BODY = range(3)
"""What has begun to come over a connection, and is not complete."""

_log = structlog.get_logger("receiver.protocol")


class LeanHttp(PatientHttp):
    """For `uvicorn.run(http=...)`. What it does beside, and the names that it overrides, are uvicorn's.

    The application's lifespan gives it the table of `connections`.
    """

    held = 0
    _part = NOTHING
    _odd = False
    _ending: Ending | None = None
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
        self.patience = self._table.patience
        self._max_head = self._table.max_head
        self._asgi = {"version": self.asgi_version, "spec_version": "2.3"}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(Joining(transport))  # type: ignore[arg-type] # it is like one
        self.flow = Flow(self.transport, self.pipeline)
        if self._table.add(self):
            self._wait(self.patience)
        else:
            self.evict()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport.lose()  # type: ignore[attr-defined] # a Joining
        self._table.drop(self)
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._last_words is not None:
            return
        part, taken, size = self._part, self._taken, len(data)
        if size > self._max_head:  # so that no more of a head is parsed than there may be
            for start in range(0, size, self._max_head):
                self.data_received(data[start : start + self._max_head])
            return
        self._at_most = self._come + size  # no head that ends in these bytes is larger
        self._began = 0
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(self._ending or endings.NO_HTTP)
            return
        if self._part == HEAD:
            self._watch_head(size, alone=part == NOTHING and self._began == 1)
        elif self._part == BODY:
            self._watch_body(size, size - (self._taken - taken))

    def _watch_head(self, size: int, *, alone: bool) -> None:
        """Look after a head of which `size` more bytes have come. `alone`: nothing was before it in them."""
        if self._began:
            self._slack = 0 if alone else size
            self._wait(self.patience)
        self._come += size
        if self._come - self._slack > self._max_head:
            self._refuse(endings.LONG_HEAD)

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
        elif self._framing > BEYOND:
            self._refuse(endings.FRAMING)
        else:
            self._table.hold(self, size)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._part = HEAD
        self._began += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part == BODY:  # a trailer: nobody asked for it
            return
        name = name.lower()
        if name in TELLING:
            if name != b"expect":
                self._odd = True
            elif value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        headers, parser, waiting = self.headers, self.parser, self.pipeline
        if self._odd or self._at_most > self._max_head or len(headers) > MOST_HEADERS:
            fault = heads.fault(headers, self.url, parser, most=self._max_head)
            if fault is not None:
                raise self._refusal(fault)
            self._odd = False
        if len(waiting) >= MOST_PIPELINED:
            raise self._refusal(endings.PIPELINED)
        path, raw_path, query = parts(self.url)
        version = parser.get_http_version()
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": self._asgi,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "method": parser.get_method().decode("ascii"),
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": self.app_state.copy(),
            Standing.KEY: self.standing,
        }
        self.cycle = cycle = RequestResponseCycle(
            scope,  # type: ignore[arg-type] # it is one, with a key of ours
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            version != "1.0" and parser.should_keep_alive(),
            self.on_response_complete,
        )
        if self._busy:
            self.flow.pause_reading()
            waiting.appendleft((cycle, self.app))
        else:
            self._busy = True
            self._start_asgi_task(cycle, self.app)
        self._part = BODY
        self._due = None
        self._come = 0

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _refusal(self, ending: Ending) -> Exception:
        """Remember it, and return what to raise: the parser tells only that something was."""
        self._ending = ending
        return ValueError(ending.reason)

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
        self._wait(self.patience)

    def _refuse(self, ending: Ending) -> None:
        """End the connection with a refusal, behind the answers to what came before."""
        client = self.client[0] if self.client else None
        refusals = self._table.refusals
        refusals.unread[ending.reason] += 1
        refusals.note(client)
        refusals.tell(_log, ending.reason, client)
        broken = self.cycle if self._part == BODY else None  # the request whose body is wrong
        self._last_words = endings.written(ending, self.server_state.default_headers)
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

    def give_up(self) -> None:
        """End what has been waited for long enough."""
        if self._part == HEAD:
            self._refuse(endings.SLOW_HEAD)
        else:
            self.transport.close()
