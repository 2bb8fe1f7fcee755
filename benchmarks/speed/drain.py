"""Drain: how many waiting events (or jobs) a second one worker process handles.

The clock covers the time from the first handled one that was seen to the last one, or to the end of the
time that a slow contestant is given; how long a worker takes to start is left out. Every job carries a
webhook's body of 900 bytes. How they are counted: `jobs/count.py`. Worker, Redis and what else a contestant
starts share all cores. "ours" includes the dispatcher, which moves the events into their lanes while the
worker drains them; "dispatched before" leaves it out: the events lay in their lanes already.

Channels matter to ours only: it alone keeps an order, so one channel's events run one after the other.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.speed import bodies, cores
from benchmarks.speed.children import Failed
from benchmarks.speed.counter import Counter, Stretch
from benchmarks.speed.options import Options, rotated
from benchmarks.speed.queues import QUEUES, Queue
from benchmarks.speed.stack import ENCRYPTED, KEY, NOTHING, Stack
from receiver.cipher import PLAIN, Keyring
from receiver.embedded import EmbeddedRedis
from receiver.intake import Intake
from receiver.pipeline.connection import connect
from receiver.pipeline.feeder import Feeder

SHORT = 10_000
SECONDS = 1.5
"""How long a slow contestant is measured."""
LONG_SECONDS = 3.0
WAIT = 0.02
"""What the waiting handler waits, in seconds."""
AT_ONCE = 1000
OURS = "ours, 10,000 channels"
SEALED = "ours, 10,000 channels, bodies encrypted"
TESTS = ("nothing", "wait")


@dataclass(frozen=True)
class Lanes:
    """The receiver, with events of so many channels."""

    name: str
    channels: int
    dispatched: bool = False
    encrypted: bool = False
    here: bool = True


OURSELVES = (
    Lanes(OURS, 10_000),
    Lanes("ours, 1 channel", 1),
    Lanes("ours, 10,000 channels, dispatched before", 10_000, dispatched=True),
    Lanes("ours, 1 channel, dispatched before", 1, dispatched=True),
    Lanes(SEALED, 10_000, encrypted=True),
)
Contestant = Lanes | Queue
EVERYBODY: tuple[Contestant, ...] = (*OURSELVES, *QUEUES)


def contestants(options: Options, test: str) -> list[Contestant]:
    """Return who takes part in a test: nothing, wait or million."""
    found = options.wanted(EVERYBODY, lambda one: one.name)
    if test == "nothing":
        return found
    return [one for one in found if not isinstance(one, Lanes) or not (one.dispatched or one.encrypted)]


def total(options: Options) -> int:
    """Return how many steps a run has."""
    short = sum(len(contestants(options, test)) for test in TESTS) * options.rounds
    return short + (len(contestants(options, "million")) if options.million else 0)


def run(options: Options, folder: Path, tick: Callable[[str], None]) -> dict[str, Any]:
    """Measure; return every figure."""
    figures: dict[str, Any] = {
        "backlog": SHORT,
        "waited": WAIT,
        "pinned": f"nothing: all {len(cores.ALL)} cores",
    }
    absent = {one.name: "not here" for one in contestants(options, "nothing") if not one.here}
    failed: dict[str, str] = {}
    for test in TESTS:
        taking_part = [one for one in contestants(options, test) if one.here]
        found: dict[str, list[dict[str, Any]]] = {one.name: [] for one in taking_part}
        for number in range(options.rounds):
            for one in rotated(taking_part, number):
                tick(f"drain, {test}, round {number + 1}: {one.name}")
                place, seconds = folder / f"{test}{number}", options.seconds or SECONDS
                try:
                    stretch = _measure(one, place, SHORT, seconds, waits=test == "wait")
                except Failed as error:
                    tick(f"[red]{error}")
                    failed[f"{one.name}, {test}"] = str(error)[-300:]
                else:
                    found[one.name].append(
                        {"rate": stretch.rate, "jobs": stretch.jobs, "seconds": stretch.seconds}
                    )
        figures[test] = found
    figures["million"] = _million(options, folder, tick) if options.million else {}
    figures["million_events"] = options.million
    return figures | {"absent": absent, "failed": failed, "ratios": ratios(figures)}


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """Return those ratios of medians that are promised, and can be told."""
    middle = {
        name: statistics.median(one["rate"] for one in found)
        for name, found in figures.get("nothing", {}).items()
        if found
    }
    ours = middle.get(OURS)
    if ours is None:
        return {}
    told = {f"ours / {one.name}": ours / middle[one.name] for one in QUEUES if middle.get(one.name)}
    if middle.get(SEALED):
        told["encrypted / not"] = middle[SEALED] / ours
    long = figures.get("million", {}).get(OURS, {})
    if "rate" in long:
        told["a million / ten thousand"] = long["rate"] / ours
    return told


def _million(options: Options, folder: Path, tick: Callable[[str], None]) -> dict[str, Any]:
    """Measure with a long backlog: ours to its end, the others for some seconds. Once each."""
    found: dict[str, Any] = {}
    for one in contestants(options, "million"):
        if not one.here:
            continue
        tick(f"drain, {options.million:,} waiting: {one.name}")
        seconds = 600.0 if isinstance(one, Lanes) else max(LONG_SECONDS, options.seconds or 0)
        stretch = _measure(one, folder / "million", options.million, seconds, waits=False)
        found[one.name] = {
            "rate": stretch.rate,
            "jobs": stretch.jobs,
            "seconds": stretch.seconds,
            "fifths": stretch.pieces,
        }
    return found


def _measure(one: Contestant, place: Path, count: int, seconds: float, *, waits: bool) -> Stretch:
    place = place.with_name(place.name + "".join(letter for letter in one.name if letter.isalnum()))
    place.mkdir()
    counter = Counter(place / "count")
    environment = {"BENCH_COUNT": str(counter.file)} | ({"BENCH_SLEEP": str(WAIT)} if waits else {})
    try:
        if isinstance(one, Lanes):
            return _drain(one, place, counter, count, seconds=seconds, environment=environment)
        with EmbeddedRedis(place / "redis") as server:
            one.fill(server, count, place)
            with one.work(server, place, waits=waits, **environment) as worker:
                return counter.watch(worker, count, seconds)
    except Failed as error:
        raise Failed(f"{one.name}: {error}") from error


def _drain(
    one: Lanes, place: Path, counter: Counter, count: int, *, seconds: float, environment: dict[str, str]
) -> Stretch:
    with Stack(place) as stack:
        environment = environment | (ENCRYPTED if one.encrypted else NOTHING)
        feed(stack.server, count, one.channels, Keyring([KEY] if one.encrypted else []))
        if one.dispatched:
            dispatch(stack, environment)
        with stack.work(1, environment) as pool:
            return counter.watch(pool, count, seconds)


def dispatch(stack: Stack, environment: dict[str, str]) -> None:
    """Have all events moved into their lanes, by a dispatcher without workers."""
    with stack.work(0, environment) as dispatcher:
        dispatcher.wait_for(begun(stack), "the dispatcher to begin")
        stack.wait_until_quiet()
        dispatcher.end()


def begun(stack: Stack) -> Callable[[], bool]:
    """Return what tells whether a process that was started just now has begun to use Redis."""
    before = stack.asked()
    return lambda: stack.asked() > before + 20


def feed(server: EmbeddedRedis, count: int, channels: int, keyring: Keyring = PLAIN) -> None:
    """Append `count` events to the inbox, by the code that a backfill uses."""
    asyncio.run(_feed(server.url, count, channels, keyring))


async def _feed(url: str, count: int, channels: int, keyring: Keyring) -> None:
    client, intake = connect(url, keyring=keyring), Intake(())
    try:
        feeder = Feeder(client, limit=0)
        envelopes = map(intake.vouched, bodies.bodies(count, channels))
        while group := list(islice(envelopes, AT_ONCE)):
            while group:
                del group[: await feeder.append(group)]
    finally:
        await client.aclose()


measure_ours = partial(_measure, waits=False)
"""For the guard."""
