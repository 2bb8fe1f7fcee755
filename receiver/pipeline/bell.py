"""The bell: tells workers which lanes have got something, before RQ could.

The dispatcher publishes the lanes' names in the step that puts events there. A drain that lingers at its
empty lane goes on at once, and a process that is free begins one. A message that gets lost costs a moment: a
drain looks into its lane before it leaves, and a lane that nobody comes for gets an RQ job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from receiver.pipeline import keys
from receiver.pipeline.connection import Client
from receiver.seldom import Seldom

RETRY = 1.0
"""Seconds between tries while Redis is away."""
PATIENCE = 60.0
"""Seconds that a silent connection is waited for at a time."""

_log = structlog.get_logger("receiver.bell")


async def listen(client: Client, ring: Callable[[set[str]], None]) -> None:
    """Call `ring` with the lanes that the bell rings for, for ever."""
    seldom = Seldom()
    while True:
        try:
            await _listen(client, ring)
        except (RedisError, OSError) as error:
            if seldom("away"):
                _log.warning("the bell can't be heard; lanes get RQ jobs", error=str(error))
        except Exception:
            _log.exception("the bell met something unexpected; this process listens again")
        await asyncio.sleep(RETRY)


async def _listen(client: Client, ring: Callable[[set[str]], None]) -> None:
    async with client.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(keys.BELL)
        while True:
            message = await channel.get_message(timeout=PATIENCE)
            if message is not None:
                ring(set(message["data"].decode().split("\n")))
