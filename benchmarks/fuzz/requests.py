"""Requests by a grammar: from those that have to be accepted to those that are hardly HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.fuzz import bodies
from benchmarks.fuzz.choices import Choices
from benchmarks.fuzz.origin import (
    APP_ID,
    BOT,
    BOT_TOKEN,
    FOREIGN_TOKEN,
    OTHER_TOKEN,
    SECRET,
    is_ours,
    names_the_bot,
    sign,
    sign_desk,
)
from receiver.samples import API_TOKEN

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


def genuine(choices: Choices) -> Request:
    """A webhook with the right signature."""
    body = bodies.body(choices)
    name = choices.pick((b"x-sendbird-signature", b"X-Sendbird-Signature", b"X-SENDBIRD-SIGNATURE"))
    value = sign(body, choices.pick((API_TOKEN, OTHER_TOKEN)))
    value = choices.pick((value, b"  " + value, value + b"\t "))
    return Request(choices.pick(_SAME), [(name, value)], body, accepted(body))


def accepted(body: bytes) -> frozenset[int]:
    """Return what may answer a right proof: of several applications, the body has to name its own."""
    return GENUINE if is_ours(body) else GENUINE | {401}


def crossed(choices: Choices) -> Request:
    """A webhook with the signature of another application of ours."""
    body = bodies.body(choices)
    expects = frozenset({400, 401}) if is_ours(body) else GENUINE | {401}
    return Request(WEBHOOK, [(b"x-sendbird-signature", sign(body, FOREIGN_TOKEN))], body, expects)


def forged(choices: Choices, token: str = API_TOKEN) -> Request:
    """A webhook whose signature is wrong, or not there."""
    body = bodies.body(choices)
    right = sign(body, token)
    wrong = choices.pick(
        (
            *(b"", b"0" * 64, right[:-1], right + b"0", right.upper(), b"sha256=" + right, right[::-1]),
            *(b"\xff" * 64, b"0" * 3000, right[:-1] + (b"1" if right[-1:] == b"0" else b"0")),
            *(sign(body + b" "), sign(body, "another-token"), right + b", " + right, sign(b"")),
        )
    )
    wrong = wrong if wrong != sign(body) else b"0" * 64
    names = (b"x-sendbird-signature", b"x-sendbird-signature", b"x-signature", b"x_sendbird_signature")
    headers = [(choices.pick(names), wrong)] if choices.below(4) else []
    return Request(choices.pick(_SAME), headers, body, frozenset({400, 401}))


def smuggled(choices: Choices) -> Request:
    """A forged webhook whose body is a genuine request."""
    inner = genuine(choices)
    inner = written(inner, [(b"content-length", b"%d" % len(inner.body))], inner.body)
    return Request(WEBHOOK, [(b"x-sendbird-signature", b"0" * 64)], inner.raw, frozenset({401}))


def stranger(choices: Choices) -> Request:
    """A webhook, or a callback, of someone who has never seen a token of ours."""
    way = choices.below(3)
    if way == 0:
        return forged(choices, NOT_OURS)
    if way == 1:
        return astray(choices, NOT_OURS.encode())
    body = bodies.body(choices, "bot").replace(BOT_TOKEN.encode(), NOT_OURS.encode())
    return Request(BOT_PATH, [], body, UNKNOWN_BOT)


def unsigned(choices: Choices) -> Request:
    """A webhook in the way of 2016: the secret is in its path."""
    secret = SECRET.encode()
    if choices.below(2):
        path = choices.pick((secret, b"%" + b"%02x" % secret[0] + secret[1:], secret + b"?a=b"))
        return Request(WEBHOOK + b"/" + path, [], bodies.body(choices), GENUINE)
    return astray(choices, secret)


def astray(choices: Choices, secret: bytes) -> Request:
    """A webhook whose path is nearly the right one."""
    near = (secret[:-1], secret + b"x", secret.upper(), secret + b"%00", secret + b"/", b"%zz", b"..", b"%ff")
    path = choices.pick((*near, b"%ED%A0%80", b"", b"a/" + secret, b"%41" * 200, secret + b"%20"))
    return Request(WEBHOOK + b"/" + path, [], bodies.body(choices), frozenset({404}))


def callback(choices: Choices) -> Request:
    """A bot's callback: its token is in the body, or isn't."""
    body = bodies.body(choices, "bot")
    if choices.one_in(4):
        token = choices.pick((b'""', b'"x"', b"null", b'"\\ud800"', b"[]", b'"%b"' % (b"t" * 200)))
        userid = choices.pick(
            (b'"%b"' % BOT.encode(), b'"nobody"', b'"\\udfff"', b'"%b"' % (b"u" * 300), b"{}")
        )
        body = b'{"bot":{"bot_userid":%b,"bot_token":%b},"category":"x:y"}' % (userid, token)
    if choices.one_in(8):
        headers = [(b"x-sendbird-signature", sign(body))]
        return Request(BOT_PATH, headers, body, UNKNOWN_BOT | {200})
    expects = accepted(body) if names_the_bot(body) else UNKNOWN_BOT
    return Request(BOT_PATH, [], body, expects)


def desk(choices: Choices) -> Request:
    """A webhook of Desk's, or one that only says so."""
    body = bodies.body(choices)
    if choices.below(2):
        return Request(DESK, [(b"x-hub-signature", sign_desk(body))], body, GENUINE)
    wrong = choices.pick((b"sha1=" + b"0" * 40, b"", b"sha1=", sign_desk(body)[5:], sign(body), b"sha256=x"))
    return Request(DESK, [(b"x-hub-signature", wrong)], body, frozenset({400, 401}))


def elsewhere(choices: Choices) -> Request:
    """Something else than events: pages, other methods, paths that lead nowhere."""
    path = choices.pick(
        (
            *(
                b"/",
                b"/healthz",
                b"/readyz",
                b"/metrics",
                b"/sendbird",
                b"/sendbird/webhook/",
                b"//",
                b"/..;/",
            ),
            *(b"/unsubscribe/x", b"/resubscribe/a.b.c", b"/unsubscribe/%ff%fe", b"/inspector/", b"*", b"/%"),
            *(b"/sendbird/webhook;x", b"/sendbird//webhook", b"/sendbird/./webhook", b"/sendbird/%2e%2e/bot"),
            *(b"/" + b"a" * 5000, "/\U0001f950".encode(), b"/sendbird%2fwebhook", b"http://", b"http://[::1"),
            *(b"/v3/users", b"/.env", b"/sendbird/bot/x", b"?", b"#", b"/sendbird/webhook#x", b"test:80"),
        )
    )
    methods = (b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND")
    return Request(path, [], choices.take(choices.below(32)), None, choices.pick(methods))


_SAME = (
    *(WEBHOOK, WEBHOOK, WEBHOOK, WEBHOOK, WEBHOOK + b"?x=%ff&y", b"http://test" + WEBHOOK),
    *(b"/sendbird/%77ebhook", WEBHOOK + b"?"),
)
"""The webhooks' path, as it may be written."""
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


def _odd(made: Request, framing: Headers, content: bytes, end: bytes = b"\r\n") -> Request:
    return replace(written(made, framing, content, end), expects=None)


def odd_framing(choices: Choices, made: Request) -> Request:
    """Lengths that are wrong, doubled, or don't agree."""
    length = b"%d" % len(made.body)
    lengths = (
        *(
            b"0",
            b"1",
            b"-1",
            b"+5",
            b"99999",
            b"18446744073709551616",
            b"9" * 400,
            b"0x10",
            b"5, 5",
            b"1 1",
            b"",
        ),
        *(b"1e3", b"000" + length, length + b" ", b"\xb2", b"5\x00", length),
    )
    encodings = (
        b"chunked",
        b"Chunked",
        b"gzip, chunked",
        b"chunked, identity",
        b"x",
        b"\x0bchunked",
        b"chunked;",
    )
    framing: Headers = []
    for _ in range(choices.below(4)):
        if choices.below(2):
            name = choices.pick((b"content-length", b"Content-Length", b"content-length ", b"content_length"))
            framing.append((name, choices.pick(lengths)))
        else:
            framing.append((b"transfer-encoding", choices.pick(encodings)))
    content = chunked(choices, made.body) if choices.below(2) else made.body
    return _odd(made, framing, content)


def odd_chunks(choices: Choices, made: Request) -> Request:
    """Chunks with odd sizes, ends, extensions and trailers."""
    named = (value for name, value in made.headers if name.lower() == b"x-sendbird-signature")
    given = next(named, b"0" * 64)
    sizes = (
        b"zz",
        b"",
        b"-1",
        b"ffffffffffffffffff",
        b"0x5",
        b"5 ",
        b" 5",
        b"5;" + b"x" * 2000,
        b"7fffffff",
        b"1\n",
    )
    ends = (
        *(b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"0\r\nx-sendbird-signature: " + given + b"\r\n\r\n"),
        *(
            b"0\r\ncontent-length: 5\r\n\r\n",
            b"0\r\n" + b"a: b\r\n" * 100 + b"\r\n",
            b"0\r\nx",
            b"0\n\n",
            b"",
            b"00\r\n",
        ),
    )
    size = choices.pick((b"%x" % len(made.body), *sizes))
    content = size + choices.pick((b"\r\n", b"\r\n", b"\n", b"")) + made.body + b"\r\n" + choices.pick(ends)
    return _odd(made, [(b"transfer-encoding", b"chunked")], content)


def odd_head(choices: Choices, made: Request) -> Request:
    """Heads with odd names, folded lines, other line ends, too much of everything."""
    headers = [
        *(
            (b"", b"x"),
            (b"x y", b"z"),
            (b"x\x00", b"y"),
            (b"\xff", b"y"),
            (b"x", b"a\r\n b"),
            (b"x", b"a\r\n\tb"),
        ),
        *(
            (b"x", b"a\x00b"),
            (b"x", b"a\nb: c"),
            (b"x", b"y" * 40_000),
            (b"y" * 5000, b"x"),
            (b"x", b"\x7f\x01"),
        ),
        *((b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"upgrade", b"h2c"), (b"host", b"other")),
        *((b"x-sendbird-signature", b"0" * 64), (b"expect", b"200-ok"), (b"content-length", b"3")),
        *((b"transfer-encoding", b"identity"), (b"connection", b"\x00"), (b"x\r\ny", b"z"), (b": ", b":")),
    ]
    many = choices.pick((1, 1, 2, 5, 300))
    added = [choices.pick(headers) for _ in range(min(many, 5))] * (60 if many == 300 else 1)
    end = choices.pick((b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\r\n"))
    made = replace(made, headers=[*added, *made.headers] if choices.below(2) else [*made.headers, *added])
    return _odd(made, [(b"content-length", b"%d" % len(made.body))], made.body, end)


def odd_line(choices: Choices, made: Request) -> Request:
    """A first line that is hardly one."""
    made = replace(
        made,
        method=choices.pick(
            (b"POST", b"post", b"BREW", b"PRI", b"", b"P\x00ST", b"M-SEARCH", b"POST ", b"HTTP/1.1")
        ),
        version=choices.pick(
            (b"HTTP/1.1", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"", b"http/1.1", b"ICE/1.0", b"\xff")
        ),
        path=choices.pick(
            (made.path, b"", b" ", made.path + b" x", b"\xff\xfe", b"\x00", b"/" + b"b" * 40_000)
        ),
    )
    return _odd(made, [(b"content-length", b"%d" % len(made.body))], made.body)


def odd_bytes(choices: Choices, made: Request) -> Request:
    """A good request with some of its bytes broken."""
    whole = written(made, [(b"content-length", b"%d" % len(made.body))], made.body)
    raw = whole.raw
    for _ in range(1 + choices.below(3)):
        raw = bodies.cut(choices, raw)
    return replace(whole, raw=raw, expects=None)


def unfinished(choices: Choices, made: Request) -> Request:
    """A request that never ends."""
    whole = written(made, [(b"content-length", b"%d" % len(made.body))], made.body)
    return replace(whole, raw=whole.raw[: choices.below(len(whole.raw) + 1)], expects=None)


ODD: tuple[Callable[[Choices, Request], Request], ...] = (
    *(odd_bytes, odd_framing, odd_chunks, odd_head, odd_line, unfinished),
)
