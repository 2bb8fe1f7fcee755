"""The bell: tells workers which lanes have got something, before RQ could.

The dispatcher publishes the lanes' names in the step that puts events there. A drain that lingers at its
empty lane goes on at once, and a process that is free begins one. A message that gets lost costs a moment: a
drain looks into its lane before it leaves, and a lane that nobody comes for gets an RQ job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from receiver.pipeline import keys
from receiver.pipeline.connection import Client
from receiver.seldom import Seldom

RETRY = 1.0
"""Seconds between tries while Redis is away."""
PATIENCE = 15.0
"""Seconds of silence after which Redis is asked whether the connection is there, for all that it knows."""

_log = structlog.get_logger("receiver.bell")


class Listener:
    """Hears the bell for the process `worker`, by a connection that tells Redis that the process is there."""

    def __init__(self, client: Client, ring: Callable[[set[str]], None], worker: str) -> None:
        self.is_known = False
        """Whether Redis knows that this process is there, and would know of its death (`rollcall.py`)."""
        self._client = client
        self._ring = ring
        self._here = keys.here(worker)

    async def listen(self) -> None:
        """Call `ring` with the lanes that the bell rings for, for ever."""
        seldom = Seldom()
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                if seldom("away"):
                    _log.warning("the bell can't be heard; lanes get RQ jobs", error=str(error))
            except Exception:
                _log.exception("the bell met something unexpected; this process listens again")
            finally:
                self.is_known = False
            await asyncio.sleep(RETRY)

    async def _listen(self) -> None:
        async with self._client.pubsub() as channel:
            await channel.subscribe(keys.BELL, self._here)
            while True:
                message = await channel.get_message(timeout=PATIENCE)
                if message is None:
                    await self._look()
                elif message["type"] == "message" and message["channel"] == keys.BELL.encode():
                    self._ring(set(message["data"].decode().split("\n")))
                elif message["type"] == "subscribe" and message["channel"] == self._here.encode():
                    await self._look()

    async def _look(self) -> None:
        """Ask Redis whether it knows of the connection.

        Raises:
            ConnectionError: no longer: something between has cut it, and told only the other end.
        """
        try:
            [(_, count)] = await self._client.pubsub_numsub(self._here)
        except ResponseError:  # its user may not ask
            return
        if self.is_known and not count:
            raise RedisConnectionError("Redis has lost the connection")
        self.is_known = bool(count)
