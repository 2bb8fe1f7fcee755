"""The promises under fire: what is lost, doubled or out of order while processes are killed.

    scripts/chaos                       the whole of it: fsync always, then everysec (about 9 minutes)
    scripts/chaos --short               the form that the test suite runs

Two receivers, two worker pools (each with a dispatcher) and a Redis run as real processes; a sender plays
Sendbird: each channel's events one after the other, each tried three times. Meanwhile, every 5 to 15
seconds, one of {receiver, worker, pool, dispatcher that leads, Redis} is killed with -9 and started again;
once Redis is away for 30 s, once a whole pool is frozen past its leases, once the dispatcher that leads.
The handlers note what they do in a file of their own (`handlers.py`), and the account is drawn up
from it. Exits with 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.plan import Plan
from benchmarks.chaos.run import Run, run

out = Console()


def report(run: Run) -> None:
    """Print the table."""
    plan = run.plan
    table = Table(title=f"{plan.events:,} events, {plan.channels:,} channels, appendfsync {plan.fsync}")
    table.add_column("what", no_wrap=True)
    table.add_column("figure", overflow="fold")
    for what, figure in run.rows():
        table.add_row(what, str(figure))
    out.print(table)
    for line in run.result.unexplained[:10]:
        out.print(f"Without a cause: {line}")


def plans(options: argparse.Namespace) -> Iterator[Plan]:
    """Give the runs."""
    ports = (options.ports[0], options.ports[1])
    for fsync in options.fsync:
        if options.short:
            yield Plan(3_000, 100, 150.0, fsync, (0.5, 1.5), 3.0, 6.0, 0.0, ports, options.seed)
        else:
            size = (options.events, options.channels, options.rate)
            yield Plan(*size, fsync, (5.0, 15.0), 30.0, 12.0, 40.0, ports, options.seed)


def main() -> None:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--channels", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=250.0, help="events a second")
    parser.add_argument("--fsync", nargs="+", default=["always", "everysec"])
    parser.add_argument("--ports", type=int, nargs=2, default=[8400, 8401], help="of the two receivers")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="keep the folder with ledger and logs")
    parser.add_argument("--short", action="store_true", help="3,000 events, shorter faults: under a minute")
    parser.add_argument("--results", type=Path, help="write the tables to this file, too, as JSON")
    options = parser.parse_args()
    runs = []
    for plan in plans(options):
        folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        one = asyncio.run(run(plan, folder, out))
        runs.append(one)
        report(one)
        if options.keep or not one.result.kept:
            out.print(f"Ledger and logs: {folder}")
        else:
            shutil.rmtree(folder)
    if options.results:
        tables = [asdict(one.plan) | dict(one.rows()) for one in runs]
        options.results.write_bytes(orjson.dumps(tables, option=orjson.OPT_INDENT_2))
    raise SystemExit(0 if all(one.result.kept for one in runs) else 1)


if __name__ == "__main__":
    main()
