"""One attack: a Redis, a `receiver serve`, the good sender here, and the attacker in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil

from benchmarks.attacks.attacker import Attack
from benchmarks.attacks.good import Seen, Sender
from benchmarks.speed import cores
from benchmarks.speed.children import Child
from benchmarks.speed.stack import Stack
from receiver import ports
from receiver.pipeline import keys

SETTLES = 1.0
"""Seconds after the attack, before memory is looked at again."""


@dataclass
class Outcome:
    """What one attack did. Memory is the server's RSS in MB, latencies are in milliseconds."""

    name: str
    about: str
    good: int = 0
    failed: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    p50_before: float = 0.0
    p99_before: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    slowest: float = 0.0
    memory_before: float = 0.0
    memory_most: float = 0.0
    memory_after: float = 0.0
    processor: float = 0.0
    """Of a core, the server's share during the attack."""
    lines: int = 0
    """In the server's log, during the attack."""
    writes: int = 0
    """Events or keys in Redis beyond those of the good requests."""
    attacker: dict[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether all good requests were stored, and nothing else."""
        return self.failed == 0 and self.writes == 0

    def data(self) -> dict[str, Any]:
        """Return it for a file."""
        return asdict(self) | {"kept": self.kept}


async def run(one: Attack, folder: Path, *, seconds: float, before: float, rate: float) -> Outcome:
    """Run an attack for `seconds`, and `before` it the good traffic alone."""
    outcome = Outcome(one.name, one.about)
    with Stack(folder) as stack:
        port = ports.free()
        log = folder / "serve.log"
        server = stack.start("serve", ["serve", "--port", str(port)], dict(one.settings))
        server.wait_for_page(f"http://127.0.0.1:{port}/readyz")
        sender = Sender(port, rate)
        alone = await sender.run(before)
        outcome.p50_before, outcome.p99_before = alone.percentile(0.5), alone.percentile(0.99)
        good = sum(status == "200" for status in alone.answers.elements())
        assert good == alone.sent, alone.answers
        held, lines = stack.client.dbsize(), _lines(log)
        outcome.memory_before = _memory(server)
        spent = cores.spent(server.pid)
        command = [sys.executable, "-m", "benchmarks.attacks.attacker", one.name, str(port), str(seconds)]
        with Child(command, folder / "attacker.log") as attacker:
            seen = await _watched(sender.run(seconds), lambda: _memory(server), outcome)
            await asyncio.to_thread(attacker.process.wait, 30)
        outcome.processor = (cores.spent(server.pid) - spent) / seconds
        await asyncio.sleep(SETTLES)
        server.check()
        sender.close()
        _judge(outcome, seen)
        outcome.memory_after = _memory(server)
        outcome.lines = _lines(log) - lines
        stored = stack.client.xlen(keys.INBOX) - good - seen.answers["200"]
        outcome.writes = abs(stored) + abs(stack.client.dbsize() - held)
        with suppress(orjson.JSONDecodeError):
            said = (folder / "attacker.log").read_bytes()
            outcome.attacker = orjson.loads(said[said.rfind(b"{") :])
    return outcome


async def _watched(sending: Any, memory: Callable[[], float], outcome: Outcome) -> Seen:
    """Look at the memory while `sending` runs."""
    task = asyncio.ensure_future(sending)
    while not task.done():
        outcome.memory_most = max(outcome.memory_most, memory())
        await asyncio.wait([task], timeout=0.1)
    seen: Seen = await task
    return seen


def _judge(outcome: Outcome, seen: Seen) -> None:
    outcome.good = seen.sent
    outcome.failed = seen.sent - seen.answers["200"]
    outcome.answers = dict(seen.answers)
    outcome.p50, outcome.p99 = seen.percentile(0.5), seen.percentile(0.99)
    outcome.slowest = max(seen.latencies)


def _memory(server: Child) -> float:
    return float(psutil.Process(server.pid).memory_info().rss) / 1e6


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n")
