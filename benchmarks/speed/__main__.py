"""How fast it is, beside what a user would otherwise put together.

    scripts/bench ingest           a signed webhook in -> 200, beside ten other ways to take one
    scripts/bench drain            one worker process and a backlog, beside seven other queues
    scripts/bench road             a webhook in -> its handler has begun: the highest rate, and latencies
    scripts/bench idle             the same at one event a second
    scripts/bench cost             memory, Redis commands and processor time of an event; start times
    scripts/bench all              all of these, then the table and the plots (about 25 minutes)
    scripts/bench table            the table and the plots again, from the figures that are there
    scripts/bench guard            under two minutes: ratios against guard.toml; exit code 1 if one fell

Each part writes every figure and the machine's description to speed-PART.json in --out. Contestants take
turns; a table's figures are medians, with the least and the most. Nothing else should run meanwhile.

To look at one thing quickly:

    scripts/bench ingest --rounds 1 --seconds 1 --only ours --only verify --out figures
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.speed import cost, drain, guard, idle, ingest, plots, results, road, table
from benchmarks.speed.children import Failed
from benchmarks.speed.options import RESULTS, ROOT, Options
from receiver.errors import ReceiverError

PARTS: dict[str, ModuleType] = {"ingest": ingest, "drain": drain, "road": road, "idle": idle, "cost": cost}
out, err = Console(), Console(stderr=True)


def measure(names: list[str], options: Options) -> bool:
    """Measure the parts `names`, and write their figures; tell whether all could be measured."""
    failed = False
    with progress() as bar:
        for name in names:
            part = PARTS[name]
            task = bar.add_task(name, total=part.total(options))
            try:
                with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as folder:
                    figures = part.run(options, Path(folder), ticker(bar, task))
            except (Failed, ReceiverError, OSError) as error:  # the others can be measured all the same
                bar.console.print(f"[bold red]{name} failed:[/bold red] {escape(str(error))}", soft_wrap=True)
                failed = True
                continue
            bar.update(task, description=name, completed=part.total(options), total=part.total(options))
            bar.console.print(f"{results.write(name, figures, options.out)}")
    return not failed


def progress() -> Progress:
    """Return bars that show what is measured at the moment."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err)


def ticker(bar: Progress, task: object) -> Callable[[str], None]:
    """Return what a part calls when it begins a step, with what that is."""

    def tick(what: str) -> None:
        bar.update(task, description=what, advance=1)  # type: ignore[arg-type] # rich's TaskID is an int

    return tick


def report(options: Options) -> None:
    """Write the table and the plots from the figures that are there, and show the table."""
    found = results.read(options.out)
    if not found:
        raise Failed(f"there are no figures in {options.out}: run a part first")
    text = table.write(found, options.out)
    for file in plots.draw(found, options.out):
        err.print(str(file))
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def options() -> tuple[str, Options]:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[*PARTS, "all", "table", "guard"])
    parser.add_argument("--rounds", type=int, default=5, help="of each contestant (default: 5)")
    parser.add_argument("--seconds", type=float, help="of each measurement (default: each part's own)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="contestants with this in their name"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the figures, table and plots")
    parser.add_argument(
        "--million", type=int, default=1_000_000, help="events of the long backlog; 0: leave it out"
    )
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    chosen = Options(given.rounds, given.seconds, tuple(given.only), given.out, given.million)
    return given.part, chosen


def main() -> NoReturn:
    """Run it. Ctrl-C ends everything that was started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    part, chosen = options()
    well = True
    try:
        if part == "guard":
            sys.exit(guard.run(out, progress, ticker))
        if part != "table":
            well = measure([*PARTS] if part == "all" else [part], chosen)
        report(chosen)
    except Failed as error:
        err.print(f"[bold red]Error:[/bold red] {error}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
