"""Throws odd requests at the receiver, by the million.

    scripts/fuzz                        the whole of it: 2 million inputs in process, 50,000 through a socket
    scripts/fuzz --inputs 100000 --socket 5000
    scripts/fuzz --replay .fuzz/chance-http-0123456789ab.bin

In process, the application and its HTTP run without a network, and with a storage that only counts. Inputs
are made by a grammar from a seed, by atheris (coverage guided), and by Hypothesis. Through a socket they
meet a real `receiver serve` with a real Redis.

It is a finding where something is answered 5xx, or not at all; where an exception is logged, or a secret;
where something is stored that nothing proves, or otherwise than it was sent; where anything is written for
those who prove nothing; where what was stored can't be read as an event; where a connection outlives every
time limit; where memory grows. Each is kept as a file under .fuzz/. Exits with 1 where there is one.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.fuzz import machine, plan
from benchmarks.fuzz.watch import FLAT

SHARES = (
    ("chance", "http", 0.15),
    ("chance", "intake", 0.37),
    ("atheris", "http", 0.08),
    ("atheris", "intake", 0.385),
    ("hypothesis", "http", 0.010),
    ("hypothesis", "intake", 0.005),
)
"""What part of the inputs each has: the two last are the slowest by far."""
ROOT = Path(__file__).parent.parent.parent
out = Console(width=150)


@dataclass
class Part:
    """One process, and where it tells how it stands."""

    name: str
    command: list[str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with (self.folder / f"{self.name}.log").open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own
                [sys.executable, "-m", *self.command], cwd=ROOT, stdout=output, stderr=output
            )

    @property
    def told(self) -> dict[str, Any]:
        """What it told last."""
        file = self.folder / f"{self.name}.json"
        return orjson.loads(file.read_bytes()) if file.exists() else {}

    def faults(self) -> list[str]:
        """Say what is wrong with it."""
        told = self.told
        found = [f"{kind} ({times}x)" for kind, times in told.get("findings", {}).items()]
        assert self.process is not None
        if self.process.returncode or not told.get("ended"):
            found.append(f"it ended with {self.process.returncode}: see {self.folder / self.name}.log")
        elif self.name.startswith(("chance", "socket")) and grown(told) > FLAT:
            found.append(f"its memory has grown by {grown(told) / 2**20:.1f} MiB")
        return found


def grown(told: dict[str, Any]) -> int:
    """Return the bytes of memory that a process has won since it was warm."""
    memory = told.get("memory", {})
    return int(memory.get("bytes end", 0)) - int(memory.get("bytes warm", 0))


def parts(options: argparse.Namespace) -> list[Part]:
    """Return what is to run, longest first."""
    folder = options.folder
    found = []
    for driver, target, share in SHARES if options.inputs else ():
        command = ["benchmarks.fuzz.drive", driver, target, "--inputs", str(round(options.inputs * share))]
        command += ["--seconds", str(options.seconds), "--seed", str(options.seed), "--folder", str(folder)]
        found.append(Part(f"{driver}-{target}", command, folder))
    if options.socket:
        numbers = [str(options.socket), str(options.seconds), str(options.seed), str(folder)]
        found.append(Part("socket", ["benchmarks.fuzz.served", *numbers], folder))
    return found


def run(waiting: list[Part], jobs: int) -> None:
    """Run the parts, some at a time, and tell how they stand."""
    running: list[Part] = []
    waiting = waiting[:]
    told = 0.0
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(waiting.pop(0))
            running[-1].start()
        time.sleep(0.2)
        if time.monotonic() - told > 15:
            told = time.monotonic()
            for one in running:
                now = one.told
                speed = now.get("inputs", 0) / max(now.get("seconds", 1), 1)
                findings = sum(now.get("findings", {}).values())
                out.print(
                    f"{one.name}: {now.get('inputs', 0):,} of {now.get('wanted', 0):,} "
                    f"({speed:,.0f}/s), {findings} findings",
                    highlight=False,
                )
        running = [one for one in running if one.process is not None and one.process.poll() is None]


def report(every: list[Part], options: argparse.Namespace) -> bool:
    """Print the table, write the results; tell whether all is well."""
    table = Table(title=f"Fuzz run, seed {options.seed}")
    for column in ("part", "inputs", "seconds", "answered", "stored", "memory, MiB", "findings"):
        table.add_column(column, justify="left" if column == "part" else "right")
    faults: dict[str, list[str]] = {}
    for one in every:
        told = one.told
        memory = told.get("memory", {})
        sizes = [f"{memory.get(f'bytes {when}', 0) / 2**20:.1f}" for when in ("warm", "end")]
        answered = ", ".join(f"{status}: {times:,}" for status, times in told.get("answered", {}).items())
        faults[one.name] = one.faults()
        row = (f"{told.get('inputs', 0):,}", f"{told.get('seconds', 0):.0f}", answered)
        table.add_row(
            one.name, *row, f"{told.get('stored', 0):,}", " -> ".join(sizes), str(len(faults[one.name]))
        )
    out.print(table)
    for name, found in faults.items():
        for line in found:
            out.print(f"{name}: {line}", highlight=False, markup=False)
    done = sum(one.told.get("inputs", 0) for one in every if one.name != "socket")
    short = done < options.inputs and not options.limited
    if short:
        out.print(f"Only {done:,} of {options.inputs:,} inputs were tried.")
    well = not any(faults.values()) and not short
    results = {
        "machine": machine.describe("atheris", "hypothesis"),
        "seed": options.seed,
        "in process": done,
        "through a socket": sum(one.told.get("inputs", 0) for one in every if one.name == "socket"),
        "well": well,
        "faults": faults,
        "parts": [{name: value for name, value in one.told.items() if name != "files"} for one in every],
    }
    if options.results:
        options.results.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    out.print("Nothing was found." if well else f"There are findings: see {options.folder}/*.txt")
    return well


def replay(file: Path) -> bool:
    """Try one input that was kept; tell whether all is well now."""
    from benchmarks.fuzz import targets  # noqa: PLC0415 - a run doesn't need it in this process
    from benchmarks.fuzz.stand import Stand  # noqa: PLC0415 - as above

    data = file.read_bytes()
    name = "intake" if "intake" in file.name else "http"
    requests = [plan.judged(data)] if name == "intake" else plan.read(data).requests
    for request in requests:
        out.print(request, markup=False)
    stand = Stand()
    trouble = targets.target(name, stand)(data)
    stand.close()
    out.print(trouble or "Nothing is wrong with what comes of it.", markup=False)
    return not trouble


def main() -> None:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=2_000_000, help="in process")
    parser.add_argument("--socket", type=int, default=50_000, help="inputs through a socket")
    parser.add_argument("--seconds", type=float, help="the most that each part may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="parts that run at once")
    parser.add_argument("--replay", type=Path, help="try the input in this file")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="for findings; emptied first")
    parser.add_argument("--results", type=Path, help="write the figures to this file, as JSON")
    options = parser.parse_args()
    if options.replay:
        raise SystemExit(0 if replay(options.replay) else 1)
    options.limited = options.seconds is not None
    options.seconds = options.seconds or 7200.0
    options.folder = options.folder.resolve()
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    every = parts(options)
    run(every, options.jobs)
    raise SystemExit(0 if report(every, options) else 1)


if __name__ == "__main__":
    main()
