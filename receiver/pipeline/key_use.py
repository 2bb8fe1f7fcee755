"""Which keys are still needed: by which of them the bodies are encrypted that are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from receiver.cipher import HEAD, MAGIC, sealed_with
from receiver.events.envelope import BATCH
from receiver.pipeline import keys, spool
from receiver.pipeline.connection import Client, Script

PAGE = 250
"""Bodies that are looked at in one step: Redis does nothing else meanwhile, for some 2 milliseconds."""
MOST = 2_000_000
"""Events of the inbox that are looked at, the oldest first: those have the oldest keys."""
_HEADS = f"SELECT substr(body, 1, {HEAD}) AS head, count(*) FROM events GROUP BY head"  # noqa: S608 - a number
_KEY_USE = Script("key_use")


async def count(client: Client) -> Counter[str]:
    """Return how many bodies each key (its id) has encrypted, of the inbox and the dead letters.

    "" stands for bodies that aren't encrypted. A body that lies in both counts twice.
    """
    found = await _stream(client, keys.INBOX, MOST)
    letters = {
        one.split(b" ")[0].decode() for name in (keys.DEAD, keys.REVIVED) for one in await _all(client, name)
    }
    for page in _pages(sorted(letters)):
        pipeline = client.pipeline(transaction=False)
        for entry in page:
            pipeline.hmget(keys.letter(entry), "id", "source", "body")
        for event_id, source, body in await pipeline.execute():
            if source == BATCH.encode():
                found += await _stream(client, keys.batch(event_id.decode()), MOST)
            elif body is not None:
                found[sealed_with(body)] += 1
    return found


def spooled(folder: Path) -> Counter[str]:
    """Return how many bodies each key has encrypted in the spool of `folder`, without touching it.

    Raises:
        sqlite3.Error: the file can't be read.
    """
    found: Counter[str] = Counter()
    for head, number in spool.ask(folder, _HEADS):
        found[sealed_with(head)] += number
    return found


async def _stream(client: Client, name: str, most: int) -> Counter[str]:
    found: Counter[str] = Counter()
    first, seen = "-", 0
    while seen < most:
        told = await _KEY_USE.run(client, [name], [first, PAGE, HEAD, MAGIC])
        if not told:
            break
        for head, number in zip(told[1::2], told[2::2], strict=True):
            found[sealed_with(head)] += number
        first, seen = f"({told[0].decode()}", seen + PAGE
    return found


async def _all(client: Client, name: str) -> list[bytes]:
    members: list[bytes] = await client.zrange(name, 0, -1)
    return members


def _pages(names: Sequence[Any]) -> list[Sequence[Any]]:
    return [names[first : first + PAGE] for first in range(0, len(names), PAGE)]
