"""What is odd about requests that are hardly HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.fuzz import bodies
from benchmarks.fuzz.choices import Choices
from benchmarks.fuzz.requests import Headers, Request, chunked, written


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
