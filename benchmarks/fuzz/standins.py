"""What stands for the world around the receiver: a storage, a Redis, a connection, Sendbird's API."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

from receiver.errors import SendbirdRefused
from receiver.events import Envelope
from receiver.sendbird.api import NOT_FOUND
from receiver.sendbird.platform import Platform

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


async def no_such_bot(self: Platform, userid: str) -> NoReturn:
    """Stand for the API's look-up of a bot."""
    raise SendbirdRefused("no such bot", status=400, code=NOT_FOUND)
