"""Reading a request's body from a stranger: bounded in size and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from receiver.errors import Rejected


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the first header called `name` (lower case), or None."""
    for key, value in headers:
        if key == name:
            return value.strip(b" \t")  # httptools leaves what follows the value, which is no part of it
    return None


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
    try:
        async with asyncio.timeout(patience):
            return await _read(receive, limit)
    except TimeoutError:
        raise Rejected(
            408, "too_slow", f"The body did not arrive within {patience:g} s (RECEIVER_BODY_TIMEOUT)."
        ) from None


async def _read(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> Rejected:
    return Rejected(413, "too_large", f"The body is larger than {limit} bytes (RECEIVER_MAX_BODY).")
