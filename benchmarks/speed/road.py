"""The road: a webhook in -> its handler has begun, with one `receiver serve` and one worker process.

Receiver, dispatcher, worker, Redis and the load share all cores; nobody is pinned. The load is the same all
along: 256 connections, signed in advance. (With 64, answers that are late keep the next request from being
sent when it is due: at 13,000 a second, once the mean answer takes 5 ms. It is their number that is measured
then.) "Ingest alone" is what the receiver takes at full speed while no
worker runs. The highest sustained rate is searched from there downward, at constant rates (a request is sent
when it is due, whatever the answers take): sustained means that the last answer came within a quarter of a
second, and that a second after it every event's handler had run. Latencies count from the moment at which a
request was due, on one clock, to the handler's begin; the handler notes its message and the time in memory
(`jobs/ours.py`).
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.speed import bodies, cores
from benchmarks.speed.children import Failed
from benchmarks.speed.counter import Counter
from benchmarks.speed.options import Options
from benchmarks.speed.stack import Stack
from receiver.cli import load, notes

PATH = "/sendbird/webhook"
CONNECTIONS = 256
SECONDS = 3.0
SHARES = (0.25, 0.5, 0.75)
STEPS = 6
"""Looks for the highest rate: each halves what is left between one that was sustained and one that wasn't."""
SOON = 1.0
"""Seconds after the last answer within which all must be handled."""
LATEST = 0.25
"""Seconds after the last request was due within which its answer must have come."""
CATCHES_UP = 90.0


@dataclass(frozen=True)
class Trip:
    """What came of some seconds at one rate. Latencies are in milliseconds."""

    rate: float
    answered: float
    sustained: bool
    behind: int
    late: float
    answers: dict[str, float]
    handlers: dict[str, float]
    between: dict[str, float]
    """From an answer to the handler's begin. (For low rates only: else answers have another order.)"""
    busy: float
    """How much of a core the load took."""


class Road:
    """A running receiver and its worker, and the numbers of the messages that they have had."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.counter = Counter(folder / "count")
        self._file = folder / "notes"
        self._notes = notes.Reader(self._file)
        self._folder = folder
        self._next = 0
        self._handled = 0

    def start(self) -> None:
        """Start the worker, and wait until it has handled what is there."""
        pool = self.stack.work(1, {"BENCH_COUNT": str(self.counter.file), notes.FILE: str(self._file)})
        pool.wait_for(
            lambda: self.counter.read() >= self._next, "the worker to handle what waited", CATCHES_UP
        )
        self._handled = self._next

    def alone(self, seconds: float) -> float:
        """Return the answers a second at full speed."""
        requests = self._requests(round(20_000 * seconds))
        shared = load.until(seconds, iter(requests))
        sent = self._run(load.send(self._target, [shared] * CONNECTIONS))
        assert not sent.refused
        self._next -= len(requests) - len(sent.latencies)
        return sent.rate

    def trip(self, rate: float, seconds: float, *, connections: int = CONNECTIONS) -> Trip:
        """Send at `rate`, and see when everything is handled."""
        first = self._next
        requests = self._requests(round(rate * seconds))
        before = time.process_time()
        sent = self._run(load.pace(self._target, requests, rate, connections=connections))
        busy = (time.process_time() - before) / sent.seconds
        time.sleep(SOON)
        behind = self._handled + len(requests) - self.counter.read()
        self._wait_until_handled(len(requests))
        begun = self._begun(first)
        waited = [(begun[at] - due) / 1e6 for at, due in enumerate(sent.times)]
        answers = [one * 1e3 for one in sent.latencies]
        between = [one - answer for one, answer in zip(waited, answers, strict=True)]
        late = sent.seconds - len(requests) / rate
        return Trip(
            rate=rate,
            answered=sent.rate,
            sustained=behind <= 0 and late <= LATEST,
            behind=max(0, behind),
            late=late,
            answers=spread(answers),
            handlers=spread(waited),
            between=spread(between),
            busy=busy,
        )

    @property
    def _target(self) -> load.Target:
        return load.Target(self.stack.port)

    def _requests(self, count: int) -> list[bytes]:
        found = [bodies.signed(PATH, one) for one in bodies.bodies(count, first=self._next)]
        self._next += count
        return found

    def _run(self, work: Any) -> load.Sent:
        gc.collect()
        gc.disable()  # its pauses would be taken for the receiver's
        try:
            sent: load.Sent = uvloop.run(work)
            return sent
        finally:
            gc.enable()

    def _wait_until_handled(self, count: int) -> None:
        self._handled += count
        deadline = time.monotonic() + CATCHES_UP
        while self.counter.read() < self._handled:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._handled - self.counter.read()} events were not handled")
            time.sleep(0.05)

    def _begun(self, first: int) -> dict[int, int]:
        """Return when (ns) each message since `first` was begun, by how many came before it.

        Raises:
            Failed: some were handled, and not noted.
        """
        deadline = time.monotonic() + 10
        found: dict[int, int] = {}
        while len(found) < self._next - first:
            if time.monotonic() > deadline:
                raise Failed(f"{self._next - first - len(found)} messages were not noted")
            time.sleep(0.05)
            for message_id, moment in self._notes.read():
                if (number := bodies.number(message_id)) >= first:
                    found.setdefault(number - first, moment)
        return found


def spread(values: list[float]) -> dict[str, float]:
    """Return the percentiles of latencies."""
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "most": 1.0}
    return {name: load.percentile(values, share) for name, share in shares.items()}


def total(options: Options) -> int:
    """Return how many steps a run has."""
    return 1 + STEPS + options.rounds * len(SHARES)


def run(options: Options, folder: Path, tick: Callable[[str], None]) -> dict[str, Any]:
    """Measure; return every figure."""
    seconds = options.seconds or SECONDS
    with Stack(folder) as stack:
        stack.serve()
        road = Road(stack, folder)
        tick("road: ingest alone")
        road.alone(1)  # warm
        alone = statistics.median(road.alone(seconds / 2) for _ in range(3))
        road.start()
        highest, looks = _search(road, alone, seconds, tick)
        trips: dict[str, list[dict[str, Any]]] = {}
        for number, share in itertools.product(range(options.rounds), SHARES):
            tick(f"road, round {number + 1}: {share:.0%} of {highest:,.0f}/s")
            trips.setdefault(f"{share:.0%}", []).append(asdict(road.trip(highest * share, seconds)))
    return {
        "seconds": seconds,
        "pinned": f"nothing: all {len(cores.ALL)} cores",
        "alone": alone,
        "highest": highest,
        "looks": looks,
        "trips": trips,
        "ratios": {"road / ingest alone": highest / alone},
    }


def _search(
    road: Road, alone: float, seconds: float, tick: Callable[[str], None]
) -> tuple[float, list[dict[str, Any]]]:
    """Return the highest rate that was sustained, and every look."""
    low, high, looks = 0.0, alone, []
    for _ in range(STEPS):
        rate = (low + high) / 2
        tick(f"road: is {rate:,.0f}/s sustained?")
        trip = road.trip(rate, seconds)
        looks.append(asdict(trip))
        low, high = (rate, high) if trip.sustained else (low, rate)
    return low, looks
