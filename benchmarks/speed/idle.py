"""Idle: one event a second. From a request until its answer, and until its handler begins.

Nothing is pinned, and nothing else happens: what is measured is how soon a sleeping receiver, dispatcher and
worker wake up, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.speed import cores
from benchmarks.speed.options import Options
from benchmarks.speed.road import Road
from benchmarks.speed.stack import Stack

EVENTS = 8
"""A round."""


def total(options: Options) -> int:
    """Return how many steps a run has."""
    return options.rounds


def run(options: Options, folder: Path, tick: Callable[[str], None]) -> dict[str, Any]:
    """Measure; return every figure."""
    with Stack(folder) as stack:
        stack.serve()
        road = Road(stack, folder)
        road.alone(0.2)
        road.start()
        road.trip(2, 2, connections=1)  # warm
        trips = []
        for number in range(options.rounds):
            tick(f"idle, round {number + 1}: {EVENTS} events, one a second")
            trips.append(asdict(road.trip(1, EVENTS, connections=1)))
    return {"pinned": f"nothing: all {len(cores.ALL)} cores", "events": EVENTS, "trips": trips}
