"""Whether the time that a wrong signature or token takes tells how much of it is right.

    scripts/timing                      200,000 samples of each comparison, 50,000 of each over a socket
    scripts/timing --samples 20000 --socket 5000

Two classes of guesses, such as wrong at the first byte and wrong only at the last one, are timed in an order
of chance, and Welch's t says whether their times differ: |t| of 4.5 and more does. One that does is measured
again with twice the samples, and is found to leak if it differs again, the same way. Controls that do leak
show that the method would find it. Exits with 1 where something leaks, or where a control doesn't.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.fuzz import machine
from benchmarks.fuzz.stand import Stand
from benchmarks.timing import wire
from benchmarks.timing.measure import BOUND, Result, measure
from benchmarks.timing.subjects import Subject, subjects

out = Console(width=150)


def judge(subject: Subject, samples: int, seed: int) -> tuple[Result, bool]:
    """Measure one; tell whether it is as it should be."""
    result = measure(subject.run, subject.first, subject.second, samples, seed)
    if subject.wanted == "same" and result.apart:
        again = measure(subject.run, subject.first, subject.second, samples * 2, seed + 1)
        leaks = again.apart and (again.t > 0) == (result.t > 0)
        return again, not leaks
    return result, subject.wanted != "apart" or result.apart


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(
        prog="scripts/timing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=200_000, help="of each comparison, in process")
    parser.add_argument("--socket", type=int, default=50_000, help="of each comparison over a socket")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, help="write the figures to this file, as JSON")
    options = parser.parse_args()
    table = Table(title=f"Timing: two classes are told apart from |t| = {BOUND} on")
    for column in ("what", "classes", "samples", "median, us", "difference, ns", "would show, ns", "|t|", ""):
        table.add_column(column, justify="left" if column in {"what", "classes", ""} else "right")
    rows: list[dict[str, Any]] = []
    well = True

    def run(every: list[Subject], samples: int) -> None:
        nonlocal well
        for subject in every:
            result, fine = judge(subject, samples, options.seed)
            well = well and fine
            word = "as it should be" if fine else "WRONG"
            verdict = (
                word if subject.wanted != "either" else "told apart" if result.apart else "not told apart"
            )
            table.add_row(
                subject.name,
                subject.classes,
                f"{result.samples:,}",
                f"{result.median / 1000:.2f}",
                f"{result.difference:+.1f}",
                f"{result.resolved:.1f}",
                f"{abs(result.t):.1f}",
                verdict,
            )
            told = {"what": subject.name, "classes": subject.classes, "wanted": subject.wanted}
            rows.append(told | asdict(result) | {"verdict": verdict})
            out.print(f"{subject.name} ({subject.classes}): |t| = {abs(result.t):.1f}", highlight=False)

    if options.samples:
        stand = Stand()
        run(subjects(stand, options.seed), options.samples)
        stand.close()
    if options.socket:
        with wire.served(options.seed) as every:
            run(every, options.socket)
    out.print(table)
    if options.results:
        results = {
            "machine": machine.describe(),
            "seed": options.seed,
            "bound": BOUND,
            "well": well,
            "rows": rows,
        }
        options.results.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    out.print("No comparison tells how much is right." if well else "Something is wrong: see above.")
    raise SystemExit(0 if well else 1)


if __name__ == "__main__":
    main()
