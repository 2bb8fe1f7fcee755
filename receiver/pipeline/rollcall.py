"""The roll call: who had a lane, and whose process is gone, needn't keep it until the lease runs out.

A worker of a pool hears the bell by a connection of its own, and listens there to a channel that bears its
name, too; by another one RQ tells it commands. When its process dies, both end with it, at once, whoever
else died. (What a pool tells of its workers, `obituaries.py`, comes sooner, but not where the pool died.)

A worker that is frozen or blocked, or whose machine doesn't answer, is still there as far as Redis knows:
for that there is the lease. And one that is taken for gone by mistake loses a lease, and nothing else: what
it still does is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from redis.exceptions import ResponseError
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from receiver.pipeline import keys
from receiver.pipeline.connection import Client, Script

LOOKS = 4
"""Looks in a row at which a worker has to be missing, a second apart: it may just be connecting again."""
LISTENS = "listens"

_log = structlog.get_logger("receiver.rollcall")


def sign(worker: str) -> str:
    """Return how the tokens of a worker begin that listens to its own channel."""
    return f"{worker}:{LISTENS}"


def _signed(token: bytes) -> str | None:
    """Return the name of the worker that made a token; None where it doesn't listen."""
    worker, _, rest = token.decode(errors="replace").partition(":")
    return worker if rest.startswith(f"{LISTENS}:") else None


@dataclass(frozen=True, slots=True)
class _Missed:
    looks: int
    lease: int


class RollCall:
    """Calls the workers that have lanes."""

    _free = Script("resign")

    def __init__(self, client: Client) -> None:
        self._client = client
        self._missed: dict[tuple[str, bytes], _Missed] = {}

    async def look(self) -> dict[str, bytes]:
        """Return the lanes whose owners' workers have been missing for long enough, with the tokens."""
        before, self._missed = self._missed, {}  # a look that fails begins anew
        signed = {one: worker for one in await self._owners() if (worker := _signed(one[1]))}
        gone = await self._gone(set(signed.values()))
        missing = [one for one, worker in signed.items() if worker in gone]
        pipeline = self._client.pipeline(transaction=False)
        for lane, _ in missing:
            pipeline.pttl(keys.lane(lane, "owner"))
        for one, lease in zip(missing, await pipeline.execute(), strict=True):
            last = before.get(one)
            looks = last.looks + 1 if last and lease < last.lease else 1  # else it has renewed its lease
            self._missed[one] = _Missed(looks, lease)
        return dict(one for one, missed in self._missed.items() if missed.looks >= LOOKS)

    async def free(self) -> list[str]:
        """Look, and free the lanes of those who are missing; return their names."""
        freed = [
            lane
            for lane, token in (await self.look()).items()
            if await self._free.run(self._client, [keys.lane(lane, "owner")], [token])
        ]
        if freed:
            _log.warning("their workers are gone: what they had is taken over", lanes=freed)
        return freed

    async def _owners(self) -> list[tuple[str, bytes]]:
        lanes = [lane.decode() for lane in await self._client.hkeys(keys.LANES)]
        tokens = await self._client.mget([keys.lane(lane, "owner") for lane in lanes]) if lanes else []
        return [(lane, token) for lane, token in zip(lanes, tokens, strict=True) if token]

    async def _gone(self, workers: set[str]) -> set[str]:
        """Return those of `workers` that listen nowhere."""
        if not workers:
            return set()
        channels = {keys.here(worker): worker for worker in workers}
        channels |= {PUBSUB_CHANNEL_TEMPLATE % worker: worker for worker in workers}
        try:
            counts = await self._client.pubsub_numsub(*channels)
        except ResponseError:  # its user may not ask: there are the leases
            return set()
        return workers - {channels[channel.decode()] for channel, count in counts if count}
