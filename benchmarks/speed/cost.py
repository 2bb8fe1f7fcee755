"""Cost: what an event takes of memory, of Redis's time and of the processors'; and how soon a server starts.

The road is walked in three phases, one after the other, so that each one's cost can be told without knowing
how the receiver divides its work: first only `receiver serve` runs, and is sent the events; then only a
dispatcher (`receiver work --workers 0`); then a worker, when everything has been dispatched. "Waiting" is
what Redis holds after the second phase, "finished" after the third, each beyond what it held before the
first event. Processor time is of a process and all that it has started; a dispatcher's and a worker's
includes the time to start (about a second), so what it took to start and do nothing is taken off.

With a million events the first phase is a backfill (`drain.feed`): HTTP would take minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.speed import bodies, cores
from benchmarks.speed.children import Child, Failed
from benchmarks.speed.counter import Counter
from benchmarks.speed.drain import begun, feed
from benchmarks.speed.options import Options
from benchmarks.speed.stack import Stack
from receiver import ports
from receiver.cli import load
from receiver.pipeline.keys import CURSOR

SHORT = 10_000
CHANNELS = 10_000
STARTS = 7
PATH = "/sendbird/webhook"
WITHIN = 600.0


@dataclass(frozen=True)
class Case:
    """So many events, for so many handlers."""

    events: int
    handlers: int

    def __str__(self) -> str:
        handlers = f"{self.handlers} handler{'s' if self.handlers > 1 else ''}"
        return f"{self.events:,} events, {handlers}"


class Meter:
    """What has been spent since it was made, an event."""

    def __init__(self, stack: Stack, child: Child | None, *, idle: float = 0.0) -> None:
        self._stack = stack
        self._child = child
        self._idle = idle
        self._commands = stack.commands()
        self._round_trips = stack.round_trips()
        self._redis = cores.spent(stack.server.pid)
        self._own = self._spent()

    def read(self, events: int) -> dict[str, Any]:
        """Return what an event took: microseconds of processors, and commands of Redis."""
        own, theirs = self._spent() - self._own, cores.spent(self._stack.server.pid) - self._redis
        commands = self._stack.commands()
        calls = {name: count - self._commands.get(name, 0) for name, count in commands.items()}
        return {
            "processor_us": max(0.0, own - self._idle) / events * 1e6,
            "redis_us": theirs / events * 1e6,
            "round_trips": (self._stack.round_trips() - self._round_trips) / events,
            "commands": sum(calls.values()) / events,
            "by_command": {name: count / events for name, count in calls.items() if count > events / 100},
        }

    def _spent(self) -> float:
        return cores.spent(self._child.pid) if self._child else 0.0


def cases(options: Options) -> list[Case]:
    """Return what is measured. A million for ten handlers would be ten million deliveries."""
    found = [Case(SHORT, 1), Case(SHORT, 10)]
    return [*found, Case(options.million, 1), Case(options.million // 10, 10)] if options.million else found


def total(options: Options) -> int:
    """Return how many steps a run has."""
    return 1 + len(cases(options))


def run(options: Options, folder: Path, tick: Callable[[str], None]) -> dict[str, Any]:
    """Measure; return every figure."""
    tick("cost: starts of receiver serve")
    starts = _starts(folder / "starts")
    found = {}
    for number, case in enumerate(cases(options)):
        tick(f"cost: {case}")
        found[str(case)] = _walk(case, folder / str(number))
    return {
        "pinned": f"nothing: all {len(cores.ALL)} cores",
        "body": bodies.SIZE,
        "starts": starts,
        "cases": found,
    }


def _starts(folder: Path) -> list[float]:
    """Return how many seconds after its start `receiver serve` answers /healthz, again and again."""
    found = []
    with Stack(folder) as stack:
        for _ in range(STARTS):
            port = ports.free()
            with stack.start("start", ["serve", "--port", str(port)]) as child:
                found.append(child.wait_for_page(f"http://127.0.0.1:{port}/healthz"))
    return found


def _walk(case: Case, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"events": case.events, "handlers": case.handlers}
    with Stack(folder) as stack:
        counter = Counter(folder / "count")
        more = {"BENCH_COUNT": str(counter.file), "BENCH_HANDLERS": str(case.handlers)}
        idle = _idle(stack, more)
        before = stack.used()
        if case.events > 100_000:
            feed(stack.server, case.events, CHANNELS)
        else:
            with stack.serve() as server:
                _send(stack, 1, 1, 1)  # warm: the connection, and the code
                before = stack.used()
                meter = Meter(stack, server)
                _send(stack, case.events, CHANNELS, load.CONNECTIONS)
                found["receiver"] = meter.read(case.events)
                found["memory_receiver"] = cores.memory(server.pid)
        found["inbox"] = (stack.used() - before) / case.events
        meter = Meter(stack, None)
        at = stack.client.get(CURSOR)
        with stack.work(0, more) as dispatcher:
            dispatcher.wait_for(partial(_has_moved, stack, at), "the dispatcher to begin")
            stack.wait_until_quiet(WITHIN)
            found["dispatcher"] = _measured(meter, dispatcher, idle[0], case.events)
            found["memory_dispatcher"] = cores.memory(dispatcher.pid)
            found["waiting"] = (stack.used() - before) / case.events
            if found["dispatcher"]["commands"] < 1:
                raise Failed(f"the dispatcher did nothing: {dispatcher.said()}")
            dispatcher.end()
        meter = Meter(stack, None)
        with stack.work(1, more) as worker:
            wanted = case.events * case.handlers
            worker.wait_for(lambda: counter.read() >= wanted, "the worker to handle all", WITHIN)
            stack.wait_until_quiet(WITHIN)
            found["worker"] = _measured(meter, worker, idle[1], case.events)
            found["memory_worker"] = cores.memory(worker.pid)
            found["finished"] = (stack.used() - before) / case.events
    return found


def _measured(meter: Meter, child: Child, idle: float, events: int) -> dict[str, Any]:
    """Return what `child` has cost for each event, beyond the `idle` seconds of one that does nothing."""
    spent = max(0.0, cores.spent(child.pid) - idle)
    return {**meter.read(events), "processor_us": spent / events * 1e6}


def _has_moved(stack: Stack, at: object) -> bool:
    """Tell whether the dispatcher has dispatched something."""
    return bool(stack.client.get(CURSOR) != at)


def _idle(stack: Stack, more: dict[str, str]) -> tuple[float, float]:
    """Return the seconds of processor time of a dispatcher, and of a pool with a worker, that do nothing."""
    taken = []
    for workers in (0, 1):
        with stack.work(workers, more) as child:
            child.wait_for(begun(stack), "it to begin")
            time.sleep(1)
            stack.wait_until_quiet()
            taken.append(cores.spent(child.pid))
            child.end()  # one that is killed would go on leading for 5 s
    return taken[0], taken[1]


def _send(stack: Stack, count: int, channels: int, connections: int) -> None:
    """Send webhooks over HTTP, and wait until all are answered 200."""
    first = 0 if count > 1 else 10**8
    requests = [bodies.signed(PATH, one) for one in bodies.bodies(count, channels, first)]
    lanes = [requests[at::connections] for at in range(connections)]
    sent = uvloop.run(load.send(load.Target(stack.port), lanes))
    assert not sent.refused
