"""The promises under fire, in short: `scripts/chaos --short`."""

from __future__ import annotations

import subprocess
import sys

import orjson
import pytest

from tests.test_road import free_ports


@pytest.mark.timeout(600)
def test_promises_under_fire(project, tmp_path):
    """While every part is killed, and Redis is away, nothing is lost, out of order, or doubled."""
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks.chaos", "--short", "--fsync", "always", "--seed", "1"]
    run = subprocess.run(
        [*command, "--ports", *map(str, free_ports(2)), "--results", results],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    [table] = orjson.loads(results.read_bytes())
    assert table["handled again without a cause"] == 0
    assert table["exit codes at the end"] == [0, 0, 0, 0]
    for fault in ("receiver killed", "worker killed", "dispatcher killed", "Redis killed", "Redis away"):
        assert fault in table["faults"]
