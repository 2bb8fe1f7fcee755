"""Reading a body: how much, for how long, and what becomes of it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from receiver import body
from receiver.errors import Rejected


def sender(*chunks: bytes | None, then_wait: bool = False):
    """Stand for a client that sends `chunks` (None: it goes away), and with `then_wait` never ends."""
    left = list(chunks)

    async def receive():
        if left:
            chunk = left.pop(0)
            if chunk is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk, "more_body": bool(left) or then_wait}
        assert then_wait, "it was asked for more than there is"
        return await asyncio.get_running_loop().create_future()

    return receive


async def read(receive, headers=(), *, limit=10, patience=60.0) -> bytes:
    return await body.read(receive, headers, limit=limit, patience=patience)


@pytest.mark.parametrize("chunks", [(b"",), (b"abc",), (b"a", b"", b"bc"), (b"", b""), (b"0123456789",)])
async def test_whole(chunks):
    """A body is what its pieces make together."""
    assert await read(sender(*chunks)) == b"".join(chunks)


async def test_no_body():
    """A message without a body is an empty one."""

    async def receive():
        return {"type": "http.request"}

    assert await read(receive) == b""


@given(chunks=st.lists(st.binary(max_size=6), min_size=1, max_size=6))
def test_any_pieces(chunks):
    """However it is cut, a body within the limit arrives whole, and one beyond it is refused."""
    whole = b"".join(chunks)
    if len(whole) <= 10:
        assert asyncio.run(read(sender(*chunks))) == whole
    else:
        with pytest.raises(Rejected):
            asyncio.run(read(sender(*chunks)))


async def test_too_large():
    """A body that outgrows the limit is refused at that point, and no more is taken."""
    with pytest.raises(Rejected, match=r"larger than 10 bytes \(RECEIVER_MAX_BODY\)") as caught:
        await read(sender(b"x" * 10, b"x", then_wait=True))
    assert (caught.value.status, caught.value.code) == (413, "too_large")


@pytest.mark.parametrize("announced", [b"11", b"1" * 5000, b"00000000000000000011"])
async def test_announced_too_large(announced):
    """A body that is announced as too large is refused before any of it is taken."""
    with pytest.raises(Rejected) as caught:
        await read(sender(then_wait=True), [(b"host", b"h"), (b"content-length", announced)])
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("announced", [b"3", b"", b"-1", b"+99", b"many", b"9 9", b"\xb2"])
async def test_odd_announcement(announced):
    """What else a content-length may say, the bytes that come are what counts."""
    assert await read(sender(b"abc"), [(b"content-length", announced)]) == b"abc"


@pytest.mark.parametrize("before", [(), (b"abc",), (b"a", b"b")])
async def test_too_slow(before):
    """A body that doesn't end in time is refused, and the message names the setting."""
    with pytest.raises(Rejected, match=r"within 0\.01 s \(RECEIVER_BODY_TIMEOUT\)") as caught:
        await read(sender(*before, then_wait=True), patience=0.01)
    assert (caught.value.status, caught.value.code) == (408, "too_slow")


async def test_no_clock(monkeypatch):
    """A body that is there when it is asked for is read without a clock."""
    monkeypatch.delattr(asyncio, "timeout")
    assert await read(sender(b"abc")) == b"abc"


async def test_first_piece_later():
    """A body of which nothing is there yet is waited for."""
    chunks = asyncio.Queue()

    async def receive():
        return {"type": "http.request", "body": await chunks.get(), "more_body": chunks.qsize() > 0}

    reading = asyncio.create_task(read(receive))
    await asyncio.sleep(0)
    for chunk in (b"ab", b"c"):
        chunks.put_nowait(chunk)
    assert await reading == b"abc"


async def test_cancelled():
    """Whoever stops waiting for a body ends the wait below it, too."""
    ended = asyncio.Event()

    async def receive():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    reading = asyncio.create_task(read(receive))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert ended.is_set()


@pytest.mark.parametrize("before", [(), (b"abc",)])
async def test_disconnect(before):
    """A sender that goes away is no sender to be refused."""
    with pytest.raises(ClientDisconnect):
        await read(sender(*before, None))


def test_header():
    """The first header of that name counts, or none."""
    headers = [(b"a", b"1"), (b"b", b"2"), (b"b", b"3")]
    assert body.header(headers, b"b") == b"2"
    assert body.header(headers, b"c") is None


def test_header_in_spaces():
    """Spaces around a value are no part of it. (RFC 9110, 5.5.)"""
    assert body.header([(b"a", b" \t1 2\t ")], b"a") == b"1 2"


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({}, False),
        ({"content-length": "65536"}, False),
        ({"content-length": "65537"}, True),
        ({"content-length": "9" * 5000}, True),
        ({"content-length": "many"}, True),
        ({"content-length": "1", "expect": "100-continue"}, True),
        ({"transfer-encoding": "chunked"}, True),
    ],
)
def test_better_left(headers, left):
    """A small body is taken although nobody wants it; one that may be large, or may not come, is not."""
    assert (
        body.is_better_left([(b"host", b"h"), *((a.encode(), b.encode()) for a, b in headers.items())])
        is left
    )
