"""Backlogs: one job that a contestant has enqueued itself, as often as wanted, each with ids of its own.

To enqueue a million by each one's own functions would take most of them minutes. What lies in Redis is the
same: every key, list item, set member, hash field and stream entry that speaks of the job is written again
with other ids (all hex numbers of 24 digits or more, and UUIDs, are taken for ids), and the rest as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import redis

AT_ONCE = 1000
_ID = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{24}(?:[0-9a-f]{8})?\b"
)
Command = tuple[Any, ...]
Writer = Callable[[int], Command]


def clone(client: redis.Redis, count: int) -> None:
    """Have what is in Redis there `count` times, the original included."""
    writers = list(_writers(client))
    for first in range(1, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        with client.pipeline(transaction=False) as pipeline:
            for writer in writers:
                together: dict[Any, list[Any]] = {}
                for number in numbers:
                    name, key, *rest = writer(number)
                    if name in ("RPUSH", "ZADD"):
                        together.setdefault((name, key), []).extend(rest)
                    else:
                        pipeline.execute_command(name, key, *rest)
                for (name, key), parts in together.items():
                    pipeline.execute_command(name, key, *parts)
            pipeline.execute()


def _writers(client: redis.Redis) -> Iterator[Writer]:
    """Give a function for each thing in Redis that names the job: it returns the command for a number."""
    for key in list(client.scan_iter(count=1000)):
        kind, life = client.type(key), client.pttl(key)
        expiry = ("PX", life) if life > 0 else ()
        if kind == b"string" and _ID.search(key):
            yield _command("SET", key, client.get(key), *expiry)
        elif kind == b"hash" and _ID.search(key):
            yield _command("HSET", key, *(part for pair in client.hgetall(key).items() for part in pair))
        elif kind == b"hash":
            for name, value in client.hgetall(key).items():
                if _ID.search(name):
                    yield _command("HSET", key, name, value)
        elif kind == b"list":
            for item in client.lrange(key, 0, -1):
                if _ID.search(item):
                    yield _command("RPUSH", key, item)
        elif kind == b"zset":
            for member, score in client.zrange(key, 0, -1, withscores=True):
                if _ID.search(member):
                    yield _command("ZADD", key, score, member)
        elif kind == b"stream":
            for _, fields in client.xrange(key):
                yield _command("XADD", key, "*", *(part for pair in fields.items() for part in pair))


def _command(*words: Any) -> Writer:
    """Return what makes a command of `words` with the ids of another job."""
    split = [_ID.split(word) if isinstance(word, bytes) else word for word in words]
    found = [_ID.findall(word) if isinstance(word, bytes) else [] for word in words]

    def make(number: int) -> Command:
        end = b"%012x" % number
        return tuple(
            _join(parts, ids, end) if ids else word
            for word, parts, ids in zip(words, split, found, strict=True)
        )

    return make


def _join(parts: list[bytes], ids: list[bytes], end: bytes) -> bytes:
    """Return a text with ids that end in `end`."""
    text = parts[0]
    for one, part in zip(ids, parts[1:], strict=True):
        text += one[:-12] + end + part
    return text
