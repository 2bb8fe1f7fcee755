"""Requests by a grammar: of some kind, with headers that do no harm, and maybe odd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.fuzz.choices import Choices
from benchmarks.fuzz.kinds import (
    callback,
    crossed,
    desk,
    elsewhere,
    forged,
    genuine,
    smuggled,
    stranger,
    unsigned,
)
from benchmarks.fuzz.oddities import ODD
from benchmarks.fuzz.origin import APP_ID
from benchmarks.fuzz.requests import LIMIT, Headers, Request, chunked, written

Kind = Callable[[Choices], Request]


def request(choices: Choices, kinds: Sequence[Kind]) -> Request:
    """Make a request, with its bytes."""
    made = choices.pick(kinds)(choices)
    if len(made.body) > LIMIT and made.expects is not None:
        made = replace(made, expects=frozenset({401, 404, 413}))
    made = replace(made, headers=[*_harmless(choices), *made.headers])
    if choices.one_in(16):
        made = replace(made, version=b"HTTP/1.0")
    if choices.one_in(3):
        return choices.pick(ODD)(choices, made)
    if choices.one_in(4) and made.version == b"HTTP/1.1":
        return written(made, [(b"transfer-encoding", b"chunked")], chunked(choices, made.body))
    return written(made, [(b"content-length", b"%d" % len(made.body))], made.body)


KINDS: tuple[Kind, ...] = (
    *(genuine, genuine, genuine, crossed, forged, forged, forged, smuggled),
    *(unsigned, unsigned, callback, callback, desk, elsewhere),
)
FORGERIES: tuple[Kind, ...] = (stranger, stranger, stranger, elsewhere)
"""Those that prove nothing, even if some of their bytes are broken."""


def _harmless(choices: Choices) -> Headers:
    if choices.below(2):
        return [(b"host", b"test")]
    found: Headers = [(b"host", choices.pick((b"test", b"", b"[::1]:80", b"test, test")))]
    for _ in range(choices.below(6)):
        found.append(choices.pick(_HARMLESS))
    return found


_HARMLESS: Headers = [
    (b"content-type", b"application/json"),
    (b"content-type", b"multipart/form-data"),
    (b"accept", b"*/*"),
    (b"user-agent", b"\xe9\xff"),
    (b"x-long", b"x" * 3000),
    (b"x-empty", b""),
    (b"cookie", b"a=b; c"),
    (b"x-forwarded-for", b"1.2.3.4, ::1, x"),
    (b"forwarded", b"for=;;by"),
    (b"content-encoding", b"gzip"),
    (b"authorization", b"Bearer x"),
    (b"app-id", APP_ID.encode()),
    (b"expect", b"100-continue"),
    (b"connection", b"close"),
    (b"connection", b"keep-alive"),
    (b"te", b"trailers"),
    (b"range", b"bytes=0-1"),
    (b"origin", b"null"),
]
