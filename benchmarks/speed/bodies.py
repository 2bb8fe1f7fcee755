"""Webhooks as Sendbird sends them, each with a message of its own."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from receiver.signature import sign

TOKEN = "made-up-for-this-run-and-used-nowhere-else"  # noqa: S105 - made up, for the benchmark
SIZE = 900
CHANNELS = 500
REQUESTS = 20_000
"""Requests that wrk has, and sends in turn."""
_FIRST = 7_000_000_000
"""A message id: today's are beyond 2^32, and so all bodies have one length."""


def body(number: int, channels: int = CHANNELS, size: int = SIZE) -> bytes:
    """Return the body of the message `number`, of `size` bytes."""
    data: dict[str, Any] = {
        "category": "group_channel:message_send",
        "sender": {"user_id": "ada", "nickname": "Ada", "profile_url": "", "metadata": {}},
        "silent": False,
        "custom_type": "",
        "mention_type": "users",
        "mentioned_users": [],
        "type": "MESG",
        "payload": {"message_id": _FIRST + number, "created_at": 1_754_903_400_123, "message": ""},
        "channel": {"channel_url": f"channel_{number % channels:06d}", "name": "x", "custom_type": ""},
        "sdk": "JavaScript",
        "app_id": "BENCH",
    }
    short = size - len(orjson.dumps(data))
    data["payload"]["message"] = ("How fast is it, and how fast could it be? " * (short // 42 + 1))[:short]
    return orjson.dumps(data)


def number(message_id: int) -> int:
    """Return which message has this id."""
    return message_id - _FIRST


def bodies(count: int, channels: int = CHANNELS, first: int = 0) -> Iterator[bytes]:
    """Give `count` bodies. They are made from one, so that a million takes seconds."""
    sample = body(0, channels)
    head, rest = sample.split(str(_FIRST).encode())
    middle, tail = rest.split(b"channel_000000")
    for at in range(first, first + count):
        yield b"%b%d%bchannel_%06d%b" % (head, _FIRST + at, middle, at % channels, tail)


def request(path: str, content: bytes, headers: bytes) -> bytes:
    """Return a whole HTTP request."""
    return (
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n%b"
        b"content-length: %d\r\n\r\n%b" % (path.encode(), headers, len(content), content)
    )


def signed(path: str, content: bytes) -> bytes:
    """Return a webhook, signed as Sendbird does."""
    return request(path, content, b"x-sendbird-signature: %b\r\n" % sign(TOKEN.encode(), content))


def slack(path: str, number: int) -> bytes:
    """Return an event of Slack's, of the same size, signed as Slack does. It is stale after 5 minutes."""
    data: dict[str, Any] = {
        "type": "event_callback",
        "team_id": "T1",
        "api_app_id": "A1",
        "event_id": f"Ev{number}",
        "event_time": int(time.time()),
        "event": {
            "type": "message",
            "channel": f"C{number % CHANNELS}",
            "user": "U1",
            "ts": "1.1",
            "text": "",
        },
    }
    data["event"]["text"] = "x" * (SIZE - len(orjson.dumps(data)))
    content, now = orjson.dumps(data), b"%d" % time.time()
    signature = hmac.digest(TOKEN.encode(), b"v0:%b:%b" % (now, content), hashlib.sha256).hex()
    return request(
        path,
        content,
        b"x-slack-request-timestamp: %b\r\nx-slack-signature: v0=%b\r\n" % (now, signature.encode()),
    )


def write(file: Path, requests: Iterator[bytes]) -> None:
    """Write requests as `wrk.lua` reads them: a length on a line, then so many bytes."""
    with file.open("wb") as output:
        for one in requests:
            output.write(b"%d\n%b" % (len(one), one))
