"""Dropping finished events that stand behind unfinished ones in the inbox: one that waits for long, for a
handler that nobody runs, say, must not keep what everybody else has written.

What is unfinished is read in an order in which nothing is overlooked: first the cursor, so that what is
dispatched later is behind it; then what the lanes hold; last of all from when on they keep what they have
gathered, since a handler gathers an event before its delivery ends.
"""

from __future__ import annotations

from receiver.pipeline import keys
from receiver.pipeline.connection import Client, Script

PAGE = 200
AT_MOST = 1000
"""Entries of one list that are looked at. Behind the last of them nothing is dropped."""

_UNFINISHED = Script("unfinished")
_SWEEP = Script("sweep")


async def sweep(client: Client, retention: int) -> int:
    """Drop what is finished, and older than `retention` (ms); return how many events went."""
    seconds, microseconds = await client.time()
    end = seconds * 1000 + microseconds // 1000 - retention
    oldest = await client.xrange(keys.INBOX, count=1)
    if not oldest or _ms(oldest[0][0]) >= end:
        return 0
    end = min(end, _ms(await client.get(keys.CURSOR) or b"0-0"))
    unfinished: set[bytes] = set()
    for lane in await _lanes(client):
        parts = [keys.lane(lane, part) for part in ("queue", "taken", "held")]
        cut, entries = await _UNFINISHED.run(client, parts, [keys.lane(lane, "parked:"), end, AT_MOST])
        end = min(end, int(cut))
        unfinished.update(entries)
    for lane in await _lanes(client):
        for _, kept in await client.zrange(keys.lane(lane, "kept"), 0, 0, withscores=True):
            end = min(end, int(kept))
    dropped, low = 0, "-"
    some = [one for one in unfinished if _ms(one) < end]
    while end > 0:
        gone, last = await _SWEEP.run(client, [keys.INBOX], [keys.PREFIX, low, end, PAGE, *some])
        dropped += gone
        if not last:
            break
        low = f"({last.decode()}"
    return dropped


async def _lanes(client: Client) -> list[str]:
    return [name.decode() for name in await client.hkeys(keys.LANES)]


def _ms(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])
