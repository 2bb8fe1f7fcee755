"""Requests, and their bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.fuzz.choices import Choices
from benchmarks.fuzz.origin import is_ours

LIMIT = 64 * 1024
"""Bytes: RECEIVER_MAX_BODY of a fuzz run, small enough to be passed often."""
WEBHOOK, BOT_PATH, DESK = b"/sendbird/webhook", b"/sendbird/bot", b"/sendbird/desk"
GENUINE = frozenset({200, 400})
UNKNOWN_BOT = frozenset({400, 401, 503})
"""503 where the bot would have to be looked up, and can't be: it may be one."""
NOT_OURS = "the-token-of-someone-else"
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `expects` are the statuses that may answer it; None where it may not even be one."""

    path: bytes
    headers: Headers
    body: bytes
    expects: frozenset[int] | None
    method: bytes = b"POST"
    version: bytes = b"HTTP/1.1"
    raw: bytes = b""


def accepted(body: bytes) -> frozenset[int]:
    """Return what may answer a right proof: of several applications, the body has to name its own."""
    return GENUINE if is_ours(body) else GENUINE | {401}


def chunked(choices: Choices, body: bytes) -> bytes:
    """Write `body` in chunks, as it is allowed to."""
    size = choices.pick((65536, 1000, 100, 16, 7))
    size = max(size, len(body) // 200 + 1)
    extension = choices.pick((b"", b"", b";a=b", b';a="b c"'))
    form = choices.pick((b"%x", b"%X", b"0000%x"))
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(form % len(one) + extension + b"\r\n" + one + b"\r\n" for one in pieces) + b"0\r\n\r\n"


def written(made: Request, framing: Headers, content: bytes, end: bytes = b"\r\n") -> Request:
    """Return the request with its bytes: `framing` says how long `content` is."""
    lines = [b" ".join((made.method, made.path, made.version))]
    lines += [name + b": " + value for name, value in [*made.headers, *framing]]
    return replace(made, raw=end.join(lines) + end + end + content)
