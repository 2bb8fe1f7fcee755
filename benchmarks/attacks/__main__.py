"""Attacks on `receiver serve` over loopback, while good traffic flows.

    scripts/attack                       all of them: about 3 minutes
    scripts/attack --only slow deep      those whose name holds one of the words

A Redis, a receiver with its default settings, and a sender that plays Sendbird: signed webhooks at a constant
rate, half of them over connections that are kept, half over new ones. First alone, and then while an
attacker, in a process of its own, does as the table says. Nothing is pinned: attacker, sender, receiver and
Redis share the machine's cores. Exits with 1 if a good request was not answered 200 within 5 s, or anything
but the good requests' events was written.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.attacks.attacker import ATTACKS
from benchmarks.attacks.run import Outcome, run
from benchmarks.speed.options import RESULTS

COLUMNS = (
    "attack",
    "good requests",
    "failed",
    "p50 ms: before, during",
    "p99 ms: before, during",
    "slowest ms",
    "memory MB: before, most, after",
    "of a core",
    "log lines",
    "writes beyond",
)


def row(one: Outcome) -> tuple[str, ...]:
    """Return the cells of an attack."""
    return (
        one.name,
        f"{one.good:,}",
        str(one.failed),
        f"{one.p50_before:.1f}, {one.p50:.1f}",
        f"{one.p99_before:.1f}, {one.p99:.1f}",
        f"{one.slowest:,.0f}",
        f"{one.memory_before:.0f}, {one.memory_most:.0f}, {one.memory_after:.0f}",
        f"{one.processor:.2f}",
        str(one.lines),
        str(one.writes),
    )


def write(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    """Write the figures as JSON and as a page."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    figures = {
        "when": when,
        "seconds": options.seconds,
        "rate": options.rate,
        "attacks": [one.data() for one in outcomes],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "attacks.json").write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    lines = [
        "# Attacks",
        "",
        "Made by `scripts/attack`; do not edit.",
        "",
        f"{options.rate:g} good requests a second, half of them over new connections, first alone and then "
        f"for {options.seconds:g} s during the attack. Attacker, sender, receiver and Redis share two cores.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"| --- | {' | '.join(['---:'] * (len(COLUMNS) - 1))} |",
        *(f"| {' | '.join(row(one))} |" for one in outcomes),
        "",
        "What they do:",
        "",
        *(f"- {one.name}: {one.about}; {_did(one)}." for one in outcomes),
    ]
    (options.out / "attacks.md").write_text("\n".join(lines) + "\n")


def _did(one: Outcome) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in sorted(one.attacker.items())) or "nothing"


def main() -> None:
    """Read the options, and attack."""
    parser = argparse.ArgumentParser(
        prog="scripts/attack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each attack")
    parser.add_argument("--before", type=float, default=3.0, help="seconds of good traffic alone")
    parser.add_argument("--rate", type=float, default=100.0, help="good requests a second")
    parser.add_argument("--only", nargs="+", default=[], help="words of attacks' names")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    wanted = [one for one in ATTACKS if not options.only or any(word in one.name for word in options.only)]
    out, table = Console(), Table(title="Attacks")
    for name in COLUMNS:
        table.add_column(name, overflow="fold")
    outcomes = []
    for one in wanted:
        with tempfile.TemporaryDirectory(prefix="attack-") as folder:
            work = run(one, Path(folder), seconds=options.seconds, before=options.before, rate=options.rate)
            outcomes.append(uvloop.run(work))
        out.print(", ".join(row(outcomes[-1])), _did(outcomes[-1]))
        table.add_row(*row(outcomes[-1]))
    out.print(table)
    write(outcomes, options)
    raise SystemExit(0 if all(one.kept for one in outcomes) else 1)


if __name__ == "__main__":
    main()
