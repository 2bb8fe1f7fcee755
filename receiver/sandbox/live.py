"""What happens, as server-sent events for the chat page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson

from receiver.sandbox.views import Json

_BACKLOG = 1000
_HEARTBEAT = 15.0


class Live:
    """A stream of events for every page that is open."""

    def __init__(self) -> None:
        self._pages: set[asyncio.Queue[bytes | None]] = set()
        self._closed = False

    def tell(self, event: str, data: Json) -> None:
        """Send an event to every page. A page that does not keep up is cut off, and comes back."""
        line = b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(data))
        for queue in list(self._pages):
            if queue.qsize() >= _BACKLOG:
                self._pages.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(line)

    def close(self) -> None:
        """End every stream, so that a server can stop while pages are open."""
        self._closed = True
        for queue in self._pages:
            queue.put_nowait(None)

    def open(self) -> None:
        """Allow streams, after a close."""
        self._closed = False

    async def stream(self) -> AsyncIterator[bytes]:
        """Give one page its events, until it goes away or the sandbox ends."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._pages.add(queue)
        try:
            yield b"retry: 1000\nevent: hello\ndata: {}\n\n"
            while not self._closed:
                try:
                    line = await asyncio.wait_for(queue.get(), _HEARTBEAT)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if line is None:
                    return
                yield line
        finally:
            self._pages.discard(queue)
