"""Reading a request's body from a stranger: bounded in size and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from types import coroutine
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from receiver.endings import UNREAD
from receiver.errors import Rejected


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the first header called `name` (lower case), or None."""
    for key, value in headers:
        if key == name:
            return value.strip(b" \t")  # httptools leaves what follows the value, which is no part of it
    return None


def is_better_left(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether to close the connection rather than take, for nothing, the body that is announced.

    Also where it may never come, since its sender waits to be asked for it.
    """
    headers = list(headers)
    announced = header(headers, b"content-length")
    if announced is None:
        return header(headers, b"transfer-encoding") is not None
    small = announced.isdigit() and int(announced[:20]) <= UNREAD
    return not small or header(headers, b"expect") is not None


async def read(
    receive: Receive, headers: Iterable[tuple[bytes, bytes]], *, limit: int, patience: float
) -> bytes:
    """Read the whole body. `limit` is in bytes, `patience` in seconds.

    Raises:
        Rejected: too_large or too_slow.
        ClientDisconnect: the sender went away.
    """
    announced = header(headers, b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    steps = receive().__await__()
    try:
        waits_for = next(steps)
    except StopIteration as arrived:  # the usual case: it is all there, and no clock is needed
        message: Message = arrived.value
        if not message.get("more_body", False):
            return _add(message, 0, limit)
        first = None
    else:
        first = _go_on(steps, waits_for)
    try:
        async with asyncio.timeout(patience):
            if first is not None:
                message = await first
            return await _read_on(message, receive, limit)
    except TimeoutError:
        raise Rejected(
            408, "too_slow", f"The body did not arrive within {patience:g} s (RECEIVER_BODY_TIMEOUT)."
        ) from None


@coroutine
def _go_on(steps: Generator[Any, Any, Message], waits_for: Any) -> Generator[Any, Any, Message]:
    """Await what has been begun, and has asked to wait already."""
    try:
        yield waits_for
        return (yield from steps)
    finally:
        steps.close()


async def _read_on(message: Message, receive: Receive, limit: int) -> bytes:
    chunks = [_add(message, 0, limit)]
    size = len(chunks[0])
    while message.get("more_body", False):
        message = await receive()
        chunks.append(_add(message, size, limit))
        size += len(chunks[-1])
    return b"".join(chunks)


def _add(message: Message, size: int, limit: int) -> bytes:
    """Return the piece of a body that `message` brings, behind `size` bytes of it."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    piece: bytes = message.get("body", b"")
    if size + len(piece) > limit:
        raise _too_large(limit)
    return piece


def _too_large(limit: int) -> Rejected:
    return Rejected(413, "too_large", f"The body is larger than {limit} bytes (RECEIVER_MAX_BODY).")
