"""What is done to the processes of a chaos run."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import redis

from benchmarks.chaos.children import Child
from benchmarks.chaos.plan import Plan
from receiver.embedded import EmbeddedRedis
from receiver.pipeline import keys


class Trouble:
    """Kills, stops and freezes, and brings back."""

    def __init__(
        self, plan: Plan, server: EmbeddedRedis, receivers: list[Child], pools: list[Child], folder: Path
    ) -> None:
        self._plan = plan
        self._server = server
        self._receivers = receivers
        self._pools = pools
        self._folder = folder
        self._chance = random.Random(plan.seed)  # noqa: S311 - a run can be had again
        self.done: Counter[str] = Counter()

    async def run(self, until: asyncio.Event) -> None:
        """Make trouble until told to end."""
        often = [self._kill_receiver, self._kill_worker, self._kill_leader, self._kill_redis, self._kill_pool]
        once = [self._redis_away, self._freeze_leader]
        if self._plan.pool_frozen:
            once.insert(0, self._freeze_pool)
        faults = [*once, *often]
        while True:
            for fault in self._chance.sample(faults, len(faults)):
                if await _wait(until, self._chance.uniform(*self._plan.pauses)):
                    return
                await fault(until)
            faults = often

    async def _kill_receiver(self, until: asyncio.Event) -> None:
        one = self._chance.choice(self._receivers)
        one.kill()
        self.done["receiver killed"] += 1
        await _wait(until, 1)
        one.start()

    async def _kill_worker(self, until: asyncio.Event) -> None:
        if worker := await _found(self._a_worker, until):
            worker.kill()
            self.done["worker killed"] += 1

    async def _kill_pool(self, until: asyncio.Event) -> None:
        one = self._chance.choice(self._pools)
        one.kill()
        self.done["worker pool killed"] += 1
        await _wait(until, 1)
        one.start()

    async def _kill_leader(self, until: asyncio.Event) -> None:
        if leader := await _found(self._leader, until):
            leader.kill()
            self.done["dispatcher killed"] += 1

    async def _kill_redis(self, until: asyncio.Event) -> None:
        self._server.kill()
        self.done["Redis killed"] += 1
        await _wait(until, 1)
        await asyncio.to_thread(self._server.start)

    async def _redis_away(self, until: asyncio.Event) -> None:
        self._server.kill()
        self.done[f"Redis away for {self._plan.away:g} s"] += 1
        await _wait(until, self._plan.away)
        await asyncio.to_thread(self._server.start)

    async def _freeze_pool(self, until: asyncio.Event) -> None:
        self.done[f"worker pool frozen for {self._plan.pool_frozen:g} s"] += 1
        await self._freeze(self._chance.choice(self._pools).tree, self._plan.pool_frozen, until)

    async def _freeze_leader(self, until: asyncio.Event) -> None:
        if leader := await _found(self._leader, until):
            self.done[f"dispatcher frozen for {self._plan.leader_frozen:g} s"] += 1
            await self._freeze([leader], self._plan.leader_frozen, until)

    async def _freeze(self, processes: list[psutil.Process], seconds: float, until: asyncio.Event) -> None:
        for process in processes:
            process.suspend()
        await _wait(until, seconds)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _a_worker(self) -> psutil.Process | None:
        """A process that has handled something lately."""
        working = {line.split()[6] for line in _tail(self._folder / "ledger", 200)}
        found = [one for pool in self._pools for one in pool.tree if str(one.pid) in working]
        return self._chance.choice(found) if found else None

    def _leader(self) -> psutil.Process | None:
        """The dispatcher that leads: its process id is part of the lease."""
        try:
            with redis.Redis.from_url(self._server.url, socket_timeout=2) as client:
                token = client.get(keys.LEASE)
        except redis.RedisError:
            return None
        if not isinstance(token, bytes):
            return None
        pid = int(token.split(b":")[1])
        return next((one for pool in self._pools for one in pool.tree if one.pid == pid), None)


def _tail(path: Path, lines: int) -> list[str]:
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - lines * 120))
        return file.read().decode().splitlines()[1:]


async def _found(look: Callable[[], psutil.Process | None], until: asyncio.Event) -> psutil.Process | None:
    """Return the process that `look` gives, as soon as there is one."""
    while (process := look()) is None:
        if await _wait(until, 0.1):
            break
    return process


async def _wait(until: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return False
    return True
