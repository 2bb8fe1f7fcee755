"""One chaos run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.chaos.children import ROOT, Child
from benchmarks.chaos.ledger import HANDLERS, Ledger, Result, draw_up
from benchmarks.chaos.plan import Plan
from benchmarks.chaos.sender import TOKEN, Account, Sender
from benchmarks.chaos.trouble import Trouble
from receiver.embedded import EmbeddedRedis
from receiver.pipeline import keys
from receiver.pipeline.connection import connect


@dataclass
class Run:
    """One run, and what came of it. Times are in seconds."""

    plan: Plan
    account: Account
    result: Result
    faults: dict[str, int]
    duplicates: int
    sending: float
    draining: float
    exit_codes: list[int]

    def rows(self) -> list[tuple[str, object]]:
        """Return the lines of the table."""
        account, result = self.account, self.result
        faults = ", ".join(f"{name}: {count}" for name, count in sorted(self.faults.items()))
        places = ", ".join(f"{count:,} in the {place}" for place, count in sorted(account.places.items()))
        repeats = ", ".join(f"{count} x {why}" for why, count in result.repeated.most_common())
        return [
            ("faults", faults),
            ("answered 200", f"{len(account.accepted):,}: {places}"),
            ("answers", _shown(account.answers)),
            ("given up by the sender after three attempts", account.refused),
            ("repeated requests that were recognised", self.duplicates),
            ("lost (answered 200, not handled)", _shown(result.lost)),
            ("out of order in a channel", _shown(result.out_of_order)),
            ("handled again", f"{result.repeated.total()}" + (f": {repeats}" if repeats else "")),
            ("handled again without a cause", len(result.unexplained)),
            ("effects under once that were repeated", result.effects_repeated),
            ("sending took", f"{self.sending:.0f} s"),
            ("the last one was handled after the end of sending", f"{self.draining:.1f} s"),
            ("exit codes at the end", self.exit_codes),
        ]


def _shown(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counted.items())


def _family(plan: Plan, server: EmbeddedRedis, folder: Path) -> tuple[list[Child], list[Child], list[int]]:
    environment = {
        "RECEIVER_REDIS_URL": server.url,
        "RECEIVER_HANDLERS": str(ROOT / "benchmarks/chaos/handlers.py"),
        "RECEIVER_DATA_DIR": str(folder / "data"),
        "SENDBIRD_API_TOKEN": TOKEN,
        "CHAOS_LEDGER": str(folder / "ledger"),
    }
    ports = list(plan.ports)
    receivers = [
        Child(f"receiver {port}", ["serve", "--port", str(port)], environment, folder / f"serve-{port}.log")
        for port in ports
    ]
    pools = [
        Child(f"workers {n}", ["work", "--workers", "1"], environment, folder / f"work-{n}.log")
        for n in (1, 2)
    ]
    return receivers, pools, ports


async def run(plan: Plan, folder: Path, out: Console) -> Run:
    """Run it once; return what the sender knows, what the ledger says, and figures of the run."""
    account, until = Account(), asyncio.Event()
    with EmbeddedRedis(folder / "redis", fsync=plan.fsync) as server:
        receivers, pools, ports = _family(plan, server, folder)
        for child in (*receivers, *pools):
            child.start()
        try:
            await _until_ready(ports)
            trouble = Trouble(plan, server, receivers, pools, folder)
            with Progress(console=out) as progress:
                task = progress.add_task(f"fsync {plan.fsync}", total=plan.events)
                making = asyncio.create_task(trouble.run(until))
                began = time.perf_counter()
                await Sender(plan, ports, account).run(lambda: progress.advance(task))
                sent, sent_at = time.perf_counter(), time.time()
                until.set()
                await making
            await _until_drained(folder / "ledger", account, plan.patience)
            codes = [child.end() for child in (*receivers, *pools)]
        except BaseException:
            for child in (*receivers, *pools):
                child.kill()
            raise
        async with connect(server.url, timeout=60) as client:
            result = await draw_up(folder / "ledger", account, client)
            stats = await client.hgetall(keys.STATS)
    return Run(
        plan=plan,
        account=account,
        result=result,
        faults=dict(trouble.done),
        duplicates=int(stats.get(b"repeated", 0)),
        sending=sent - began,
        draining=max(0.0, result.last - sent_at),
        exit_codes=codes,
    )


async def _until_ready(ports: list[int]) -> None:
    deadline = time.monotonic() + 60
    for port in ports:
        while time.monotonic() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                break
        else:
            raise SystemExit(f"nothing listens on port {port} after 60 s")


async def _until_drained(ledger: Path, account: Account, patience: float) -> None:
    """Wait until every handler has done all that was accepted, or nothing has happened for long."""
    deadline, size = time.monotonic() + patience, -1
    while time.monotonic() < deadline:
        now = ledger.stat().st_size  # noqa: ASYNC240 - a local file; nothing else runs here
        if now != size:
            size = now
            deadline = time.monotonic() + patience
        if not any(Ledger(ledger).lost(handler, account) for handler in HANDLERS):
            return
        await asyncio.sleep(1)
