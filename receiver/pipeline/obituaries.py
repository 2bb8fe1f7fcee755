"""What a pool tells of a worker that died: its lanes needn't wait for their leases to run out."""

from __future__ import annotations

import signal
from typing import Any

import redis

from receiver.pipeline import jobs, keys
from receiver.pipeline.connection import Script
from receiver.pipeline.routes import handler_of

DANGEROUS_FOR = 60
"""Seconds that a handler runs away from others after an event of it has killed a worker."""
TOLD_FOR = 60_000
"""Milliseconds that a lane's next owner has to come and learn what happened."""
_OBITUARY = Script("obituary")


def tell(client: redis.Redis, worker: str, why: str) -> int:
    """Free the lanes of `worker` and wake them; return how many events it had.

    If that was a single one, in all its lanes, the event is to blame, and its handler is dangerous. What it
    had otherwise is suspect.
    """
    lanes, tokens = _lanes_of(client, worker)
    with client.pipeline(transaction=False) as pipeline:
        for lane in lanes:
            pipeline.scard(keys.lane(lane, "taken"))
        counts: list[int] = pipeline.execute()
        for lane, token in zip(lanes, tokens, strict=True):
            pipeline.eval(_OBITUARY.text, 1, keys.lane(lane, "owner"), token, str(sum(counts)), why, TOLD_FOR)
        pipeline.execute()
    suspect = [lane for lane, count in zip(lanes, counts, strict=True) if count]
    if sum(counts) == 1:
        client.set(keys.dangerous(handler_of(suspect[0])), worker, ex=DANGEROUS_FOR)
    jobs.wake(client, suspect, suspects=True)
    jobs.wake(client, [lane for lane in lanes if lane not in suspect])
    return sum(counts)


def cause(exit_code: int | None) -> str:
    """Say what a process died of."""
    if exit_code is not None and exit_code < 0:
        try:
            return f"killed by {signal.Signals(-exit_code).name}"
        except ValueError:  # a real-time signal
            return f"killed by signal {-exit_code}"
    return f"it ended with exit code {exit_code}"


def _lanes_of(client: redis.Redis, worker: str) -> tuple[list[str], list[bytes]]:
    stored: Any = client.hkeys(keys.LANES)
    lanes = [lane.decode() for lane in stored]
    if not lanes:
        return [], []
    owners: Any = client.mget([keys.lane(lane, "owner") for lane in lanes])
    prefix = f"{worker}:".encode()
    found = [(lane, owner) for lane, owner in zip(lanes, owners, strict=True) if owner]
    owned = [(lane, owner) for lane, owner in found if owner.startswith(prefix)]
    return [lane for lane, _ in owned], [owner for _, owner in owned]
