"""Where a run took place, for its results."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_NAMES = ("uvicorn", "httptools", "uvloop", "starlette", "orjson")


def describe(*more: str) -> dict[str, Any]:
    """Describe the machine, and the versions of what was tried; of `more` packages, too."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processors = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - a developer's tool
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "processor": processors[0] if processors else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in (*_NAMES, *more)},
    }
