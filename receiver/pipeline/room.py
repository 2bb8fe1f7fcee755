"""Room in Redis: how full it is, where `maxmemory` bounds it.

In a Redis that is full to the brim nothing can be finished, and no room be made. So what comes first stops
first: intake and replays at `FULL`, the dispatcher at `BRIM`. The rest is for workers, RQ and housekeeping.
"""

from __future__ import annotations

from redis.exceptions import NoPermissionError

from receiver.pipeline.connection import Client

NEARLY = 0.75
"""The part of a limit, of memory or of events, beyond which finished events go before their retention."""
FULL = 0.8
"""The part of `maxmemory` beyond which Redis is given no new events."""
BRIM = 0.9
"""The part of `maxmemory` beyond which no events are dispatched: those that are must be handled first."""


async def used(client: Client) -> float:
    """Return the part of `maxmemory` that is used; 0 where there is no such limit, or none may be known.

    Raises:
        RedisError, OSError: Redis doesn't answer.
    """
    try:
        memory = await client.info("memory")
    except NoPermissionError:
        return 0.0
    most = int(memory["maxmemory"])
    return int(memory["used_memory"]) / most if most else 0.0
