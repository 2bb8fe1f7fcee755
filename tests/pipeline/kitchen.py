"""Where poison is cooked: a pool of workers, handlers that do harm, and one that is well."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from pathlib import Path

from tests.processes import receiver, running

POISONS = Path(__file__).parent / "poisons.py"


class Kitchen:
    """A pool with two workers that has the poisons, and a handler that is well."""

    def __init__(self, folder, redis_url, road):
        self.folder = folder
        self.road = road
        self.environment = {
            "RECEIVER_REDIS_URL": redis_url,
            "RECEIVER_HANDLERS": str(POISONS),
            "RECEIVER_WORKER_MEMORY": "250MiB",
            "SENDBIRD_APP_ID": "A",
            "SENDBIRD_API_TOKEN": "t",
            "POISON_FOLDER": str(folder),
        }

    def work(self, *options, workers=2, **environment):
        command = receiver("work", "--workers", workers, *options)
        return running(command, self.environment | environment, self.folder / "work.log")

    def rq_worker(self, *options):
        """Start RQ's own worker, for the handlers that block and that are well."""
        rq = str(Path(sys.executable).with_name("rq"))
        url = self.environment["RECEIVER_REDIS_URL"]
        queues = ["receiver.poison.blocks", "receiver.poison.well"]
        command = [rq, "worker", "--url", url, "--serializer", "json", *options, *queues]
        return running(command, self.environment, self.folder / "rq.log")

    def waiting(self):
        """Return the processes in which events of the handler that waits have begun, by conversation."""
        path = self.folder / "waits"
        lines = path.read_text().splitlines() if path.exists() else []
        begun = defaultdict(list)
        for conversation, pid in map(str.split, lines):
            begun[conversation].append(int(pid))
        return begun

    def seen(self):
        path = self.folder / "seen"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(conversation, int(n)) for conversation, n, _ in map(str.split, lines)]

    async def poison(self, kind, conversation=None, **body):
        return await self.road.append(conversation or kind, category=f"poison:{kind}", **body)

    async def ended(self, kinds):
        """Return the ended deliveries of the poisons, by kind: {kind: id} are given."""
        found = {}
        for kind, event_id in kinds.items():
            history = await self.road.history(event_id)
            for one in history.deliveries:
                if one.handler == f"poison.{kind}":
                    found[kind] = one
        return {kind: one for kind, one in found.items() if one.status in ("done", "dead", "skipped")}

    async def all_ended(self, kinds, *, within):
        deadline = time.monotonic() + within
        while len(ended := await self.ended(kinds)) < len(kinds):
            assert time.monotonic() < deadline, f"these didn't end: {set(kinds) - set(ended)}"
            await asyncio.sleep(0.1)
        return ended
