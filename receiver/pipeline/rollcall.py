"""The roll call: who had a lane, and whose process is gone, needn't keep it until the lease runs out.

A worker of a pool hears the bell by a connection of its own, and listens there to a channel that bears its
name, too; by another one RQ tells it commands. When its process dies, both end with it, at once, whoever
else died. (What a pool tells of its workers, `obituaries.py`, comes sooner, but not where the pool died.)

A worker that is frozen or blocked, or whose machine doesn't answer, is still there as far as Redis knows:
for that there is the lease. And one that is taken for gone by mistake loses a lease, and nothing else: what
it still does is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
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

    async def look(self, owners: Mapping[str, tuple[bytes, int]]) -> list[str]:
        """Return the lanes whose owners' workers have been missing for long enough.

        `owners` are the tokens of the lanes' owners, and their leases, in ms.
        """
        before, self._missed = self._missed, {}  # a look that fails begins anew
        signed = {lane: worker for lane, (token, _) in owners.items() if (worker := _signed(token))}
        gone = await self._gone(set(signed.values()))
        for lane in [lane for lane, worker in signed.items() if worker in gone]:
            token, lease = owners[lane]
            last = before.get((lane, token))
            looks = last.looks + 1 if last and lease < last.lease else 1  # else it has renewed its lease
            self._missed[lane, token] = _Missed(looks, lease)
        return [lane for (lane, _), missed in self._missed.items() if missed.looks >= LOOKS]

    async def free(self, owners: Mapping[str, tuple[bytes, int]]) -> list[str]:
        """Look, and free the lanes of those who are missing; return their names."""
        freed = [
            lane
            for lane in await self.look(owners)
            if await self._free.run(self._client, [keys.lane(lane, "owner")], [owners[lane][0]])
        ]
        if freed:
            _log.warning("their workers are gone: what they had is taken over", lanes=freed)
        return freed

    async def _gone(self, workers: set[str]) -> set[str]:
        """Return those of `workers` that listen nowhere."""
        if not workers:
            return set()
        channels = {keys.here(worker): worker for worker in workers}
        channels |= {PUBSUB_CHANNEL_TEMPLATE % worker: worker for worker in workers}
        counts = await self._client.pubsub_numsub(*channels)
        return workers - {channels[channel.decode()] for channel, count in counts if count}
