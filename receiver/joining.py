"""What stands between uvicorn and a connection: answers in one piece, and a brake that holds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Takes no more in while requests wait behind the one that is being answered: that bounds them."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if self.read_paused and not self._waiting:
            super().resume_reading()


class Joining:
    """A transport that holds the head of an answer back until something follows, or it is flushed."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._lost = False
        self.is_closing = transport.is_closing  # asked with every answer, and slow through __getattr__

    def write(self, piece: bytes) -> None:
        """Write `piece` behind what was held back; or hold it back."""
        if self._head:
            piece = self._head + piece
            self._head = b""
        elif piece.startswith(b"HTTP/1.1 ") and not piece.startswith(b"HTTP/1.1 100 "):
            self._head = piece
            return
        if not self._lost:
            self._transport.write(piece)

    def flush(self) -> None:
        """Write what was held back."""
        if self._head and not self._lost:
            self._transport.write(self._head)
            self._head = b""

    def lose(self) -> None:
        """Drop what is written from now on: nobody is there, and uvicorn tells the last request only."""
        self._lost = True

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Write `pieces` behind what was held back."""
        self.write(b"".join(pieces))

    def close(self) -> None:
        """Write what was held back, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
