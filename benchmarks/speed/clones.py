"""Backlogs: one job that a contestant has enqueued itself, as often as wanted, each with ids of its own.

To enqueue a million by each one's own functions would take most of them minutes. What lies in Redis is the
same: every key, list item, set member, hash field and stream entry that speaks of the job is written again
with other ids (all hex numbers of 24 digits or more, and UUIDs, are taken for ids), and the rest as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

AT_ONCE = 1000
_ID = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{24}(?:[0-9a-f]{8})?\b"
)
Command = tuple[Any, ...]
Writer = Callable[[int], Command]


def clone(client: Any, count: int) -> None:
    """Have what is in Redis there `count` times, the original included."""
    writers = list(_writers(client))
    for first in range(1, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        with client.pipeline(transaction=False) as pipeline:
            for writer in writers:
                together: dict[Any, list[Any]] = {}
                for number in numbers:
                    name, key, *rest = writer(number)
                    if name in ("RPUSH", "SADD", "ZADD"):
                        together.setdefault((name, key), []).extend(rest)
                    else:
                        pipeline.execute_command(name, key, *rest)
                for (name, key), parts in together.items():
                    pipeline.execute_command(name, key, *parts)
            pipeline.execute()


def _writers(client: Any) -> Iterator[Writer]:
    """Give a function for each thing in Redis that names the job: it returns the command for a number."""
    for key in list(client.scan_iter(count=1000)):
        for words in _READERS[client.type(key)](client, key):
            if any(_ID.search(word) for word in words if isinstance(word, bytes)):
                yield _command(*words)


def _string(client: Any, key: bytes) -> Iterator[Command]:
    life = client.pttl(key)
    yield ("SET", key, client.get(key), *(("PX", life) if life > 0 else ()))


def _hash(client: Any, key: bytes) -> Iterator[Command]:
    """A hash of a job, or one with a field for each job."""
    pairs = client.hgetall(key).items()
    if _ID.search(key):
        yield ("HSET", key, *(part for pair in pairs for part in pair))
    else:
        yield from (("HSET", key, *pair) for pair in pairs if _ID.search(pair[0]))


def _list(client: Any, key: bytes) -> Iterator[Command]:
    yield from (("RPUSH", key, item) for item in client.lrange(key, 0, -1))


def _set(client: Any, key: bytes) -> Iterator[Command]:
    yield from (("SADD", key, member) for member in client.smembers(key))


def _sorted(client: Any, key: bytes) -> Iterator[Command]:
    yield from (("ZADD", key, score, member) for member, score in client.zrange(key, 0, -1, withscores=True))


def _stream(client: Any, key: bytes) -> Iterator[Command]:
    for _, fields in client.xrange(key):
        yield ("XADD", key, "*", *(part for pair in fields.items() for part in pair))


_READERS: dict[bytes, Callable[[Any, bytes], Iterator[Command]]] = {
    b"string": _string,
    b"hash": _hash,
    b"list": _list,
    b"set": _set,
    b"zset": _sorted,
    b"stream": _stream,
}


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
