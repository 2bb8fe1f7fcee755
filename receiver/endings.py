"""How a connection ends when what came is refused before it is a request, and in which words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

MOST_HEADERS = 100
MOST_PIPELINED = 32
"""Requests that may wait behind one that is being answered."""
BEYOND = 256 * 1024
"""Bytes that may surround a chunked body: the sizes of its chunks, their extensions, trailers."""
UNREAD = 64 * 1024
"""Bytes of a body that are taken, and dropped, when its request was answered without reading it."""


@dataclass(frozen=True)
class Ending:
    """An end, and the answer before it. `reason` is for the metrics and the log."""

    reason: str
    status: int
    code: str
    message: str


NO_HTTP = Ending("no_http", 400, "malformed", "This is not HTTP/1.1 that can be read one way only.")
CODING = Ending(
    "coding", 400, "malformed", "The only transfer-encoding that is understood is chunked, in HTTP/1.1."
)
UPGRADE = Ending("upgrade", 400, "malformed", "Nothing but HTTP/1.1 is spoken here: ask without an upgrade.")
LONG_HEAD = Ending(
    "long_head", 431, "too_large", "The request line and the headers are larger than RECEIVER_MAX_HEAD."
)
HEADERS = Ending("headers", 431, "too_large", f"There are more than {MOST_HEADERS} headers.")
FRAMING = Ending("framing", 413, "too_large", "What surrounds the body's chunks is larger than may be.")
SLOW_HEAD = Ending(
    "slow_head",
    408,
    "too_slow",
    "The head of the request did not arrive in time (RECEIVER_BODY_TIMEOUT).",
)
PIPELINED = Ending("pipelined", 0, "", "")


def written(ending: Ending, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the answer, with these `headers`; nothing where there is nothing to say."""
    if not ending.status:
        return b""
    told = orjson.dumps({"error": True, "code": ending.code, "message": ending.message})
    ours = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(told)),
        (b"connection", b"close"),
    ]
    lines = [b"%b: %b\r\n" % header for header in (*headers, *ours)]
    return b"".join([STATUS_LINE[ending.status], *lines, b"\r\n", told])
