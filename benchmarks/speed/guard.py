"""The guard: a short run, whose ratios must not fall below those in guard.toml.

Ratios only: the machine, and what else runs on it, take their share of both sides. Two rounds of a second
each for ingest (the better one counts), and one drain of each kind: under two minutes.
"""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.speed import drain, ingest
from benchmarks.speed.options import ROOT, Options
from benchmarks.speed.queues import QUEUES

THRESHOLDS = Path(__file__).with_name("guard.toml")
NAMES = (ingest.BARE, ingest.PLAIN, ingest.RECIPE, ingest.EVERYSEC, ingest.ALWAYS, ingest.SPOOL)
ROUNDS = 3
LONG = 100_000


def run(
    out: Console, progress: Callable[[], Progress], ticker: Callable[[Progress, Any], Callable[[str], None]]
) -> int:
    """Measure, compare, and say what fell; return the exit code."""
    with progress() as bar:
        task = bar.add_task("guard", total=ROUNDS * len(NAMES) + 4)
        with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as folder:
            found = measure(Path(folder), ticker(bar, task))
        bar.update(task, description="guard")
    limits = tomllib.loads(THRESHOLDS.read_text())
    table = Table("ratio", "now", "limit", title="the guard's ratios")
    fallen = []
    for name, ratio in found.items():
        least, most = limits["least"].get(name), limits["most"].get(name)
        limit = f"≥ {least:g}" if least is not None else f"≤ {most:g}" if most is not None else "none"
        table.add_row(name, f"{ratio:,.2f}", limit)
        if (least is not None and ratio < least) or (most is not None and ratio > most):
            fallen.append(f"{name} is {ratio:,.2f}, and should be {limit}")
    missing = [name for kind in limits.values() for name in kind if name not in found]
    out.print(table)
    for line in fallen:
        out.print(f"[bold red]Fallen:[/bold red] {line}", soft_wrap=True)
    for name in missing:
        out.print(f"[yellow]Not measured:[/yellow] {name} (is wrk installed?)")
    return 1 if fallen else 0


def measure(folder: Path, tick: Callable[[str], None]) -> dict[str, float]:
    """Return the ratios by name."""
    (folder / "ingest").mkdir()
    short = Options(rounds=ROUNDS, seconds=1, only=NAMES)
    found = dict(ingest.run(short, folder / "ingest", tick)["ratios"])
    [ours] = [one for one in drain.OURSELVES if one.name == drain.OURS]
    [simple] = [one for one in QUEUES if one.name == "RQ SimpleWorker"]
    rates = {}
    for name, one, count in (
        ("ten thousand", ours, drain.SHORT),
        ("again", ours, drain.SHORT),
        ("a hundred thousand", ours, LONG),
        ("simple", simple, 1000),
    ):
        tick(f"guard: drain, {one.name}, {count:,}")
        (folder / name).mkdir()
        rates[name] = drain.measure_ours(one, folder / name / "x", count, 30.0 if one is ours else 2.0).rate
    best = max(rates["ten thousand"], rates["again"])
    found["drain / RQ SimpleWorker"] = best / rates["simple"]
    found["a hundred thousand / ten thousand"] = rates["a hundred thousand"] / best
    return found
