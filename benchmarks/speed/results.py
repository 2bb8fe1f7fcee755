"""The files under results/: one for each part, with every figure and the machine's description."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from benchmarks.speed.children import python_of
from receiver.embedded import find_server

HERE = (
    *("sendbird-receiver", "uvicorn", "starlette", "uvloop", "httptools", "orjson", "redis", "hiredis", "rq"),
    *("taskiq", "taskiq-redis", "dramatiq", "slack-bolt"),
)


def write(part: str, figures: dict[str, Any], folder: Path) -> Path:
    """Write the figures of a part; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"speed-{part}.json"
    data = {"part": part, "machine": machine(), **figures}
    file.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n")
    return file


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the parts that have been measured."""
    return {
        file.stem.removeprefix("speed-"): orjson.loads(file.read_bytes())
        for file in sorted(folder.glob("speed-*.json"))
    }


def machine() -> dict[str, Any]:
    """Describe where this was measured, and what."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _said("git", "describe", "--always", "--dirty"),
        "load": [round(one, 2) for one in os.getloadavg()],
        "versions": {
            **{name: version(name) for name in HERE},
            "arq": _version_in("arq"),
            "celery": _version_in("celery"),
            "Redis": _redis(),
            "wrk": _said("wrk", "-v").partition("[")[0].removeprefix("wrk ").strip(),
            "webhook": _said("webhook", "-version").removeprefix("webhook version "),
            "Sidekiq": _said("sidekiq", "--version").removeprefix("Sidekiq "),
            "Ruby": " ".join(_said("ruby", "--version").split()[:2]),
        },
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.machine()


def _redis() -> str:
    words = _said(str(find_server()), "--version").split()
    return next((word.removeprefix("v=") for word in words if word.startswith("v=")), "?")


def _version_in(name: str) -> str:
    ask = f"from importlib.metadata import version; print(version({name!r}), version('redis'))"
    own, client = _said(python_of(name), "-c", ask).split()
    return f"{own} (redis-py {client})"


def _said(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "not here"
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else "?"


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(machine(), option=orjson.OPT_INDENT_2))
