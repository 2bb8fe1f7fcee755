"""The heads of requests: how much there may be of one, and whether it can be read in one way only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

import httptools

from receiver import endings
from receiver.endings import MOST_HEADERS, Ending

TELLING = frozenset((b"expect", b"transfer-encoding", b"upgrade"))
"""The headers that tell how to go on reading."""


@lru_cache(maxsize=64)
def parts(url: bytes) -> tuple[str, bytes, bytes]:
    """Return the path of a URL, the same as it was sent, and the query."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


def fault(
    headers: Sequence[tuple[bytes, bytes]], url: bytes, parser: httptools.HttpRequestParser, *, most: int
) -> Ending | None:
    """Return why a head is refused; None if it isn't. `most` is in bytes, the `parser` has just read it."""
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    size += len(parser.get_method()) + len(url) + len(b"  HTTP/1.1\r\n\r\n")
    if size > most:
        return endings.LONG_HEAD
    if len(headers) > MOST_HEADERS:
        return endings.HEADERS
    if parser.should_upgrade():
        return endings.UPGRADE
    codings = [one.strip(b" \t").lower() for name, one in headers if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or parser.get_http_version() != "1.1"):
        return endings.CODING
    return None
