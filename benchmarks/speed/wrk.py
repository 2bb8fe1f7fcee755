"""Runs wrk, and reads what it says."""

from __future__ import annotations

import re
import resource
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed import cores
from benchmarks.speed.children import Failed

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("wrk.lua")
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True)
class Load:
    """What wrk saw: answers a second, latencies in milliseconds, and how much of a core it took itself."""

    rate: float
    p50: float
    p99: float
    refused: int
    busy: float

    def data(self) -> dict[str, Any]:
        """Return it for a file."""
        return asdict(self)


def run(port: int, requests: Path, seconds: int, connections: int = CONNECTIONS) -> Load:
    """Send `requests` to `port` at full speed for whole `seconds`, from the load's core.

    Raises:
        Failed: wrk didn't run, or a request was refused.
    """
    command = ["taskset", "-c", str(cores.LOAD[0]), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += ["--latency", "-s", str(_SCRIPT), f"http://127.0.0.1:{port}", "--", str(requests)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        raise Failed(f"wrk: {done.stderr or done.stdout}")
    return _read(done.stdout, busy / seconds)


def _read(said: str, busy: float) -> Load:
    refused = sum(int(count) for count in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
    errors = re.search(r"Socket errors:.*", said)
    if refused or errors:
        raise Failed(f"{refused} requests were refused. {errors[0] if errors else ''}")
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", said)
    percentiles = {
        share: float(value) * _UNITS[unit]
        for share, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s|m)\b", said)
    }
    return Load(float(rate), percentiles["50"], percentiles["99"], refused, busy)
