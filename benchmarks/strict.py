"""What strict mode (appendfsync always) costs, and what the group commit makes of that.

    python -m benchmarks.strict

Each contestant is `receiver serve` with a Redis of its own; wrk sends over 64 connections. "One by one" is
the same with groups of one event: every request waits for a sync of its own. Needs wrk.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
from rich.console import Console
from rich.table import Table

from receiver.embedded import EmbeddedRedis
from receiver.signature import sign

TOKEN = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - made up, for this run
ROUNDS = 5
SECONDS = 4
BODY = orjson.dumps(
    {
        "category": "group_channel:message_send",
        "type": "MESG",
        "payload": {"message_id": 1, "message": "x" * 700},
        "sender": {"user_id": "ana"},
        "channel": {"channel_url": "channel_1"},
        "app_id": "STRICT",
    }
)
SERVE = """
import sys
from receiver.pipeline import storage
storage.GROUP_LIMIT = {group}
from receiver.cli import main
sys.argv = ["receiver", "serve", "--port", "{port}"]
main()
"""
SCRIPT = """
wrk.method = "POST"
wrk.headers["x-sendbird-signature"] = "{signature}"
wrk.body = [==[{body}]==]
"""


@dataclass(frozen=True)
class Contestant:
    """A way to store."""

    name: str
    fsync: str
    group: int
    port: int


CONTESTANTS = (
    Contestant("appendfsync no", "no", 1000, 8411),
    Contestant("appendfsync everysec", "everysec", 1000, 8412),
    Contestant("appendfsync always", "always", 1000, 8413),
    Contestant("appendfsync always, one by one", "always", 1, 8414),
)


def measure(port: int, script: Path) -> float:
    """Return requests a second, all of them answered 200."""
    command = [
        "wrk",
        "-t1",
        "-c64",
        f"-d{SECONDS}s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}/sendbird/webhook",
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours
    if "Non-2xx" in said:
        raise SystemExit(f"some requests were refused:\n{said}")
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", said)
    return float(rate)


def main() -> None:
    """Measure all, in turn, and print the table."""
    rates: dict[str, list[float]] = {one.name: [] for one in CONTESTANTS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".strict-")))
        script = folder / "wrk.lua"
        signature = sign(TOKEN.encode(), BODY).decode()
        script.write_text(SCRIPT.format(signature=signature, body=BODY.decode()))
        for one in CONTESTANTS:
            _start(one, folder / str(one.port), stack)
        for number in range(ROUNDS):
            for one in CONTESTANTS[number % 4 :] + CONTESTANTS[: number % 4]:
                rates[one.name].append(measure(one.port, script))
    table = Table(
        title=f"stored before the 200, {len(BODY)} bytes, 64 connections, {ROUNDS} rounds of {SECONDS} s"
    )
    for column in ("", "requests a second", "spread", "of no fsync"):
        table.add_column(column)
    most = statistics.median(rates[CONTESTANTS[0].name])
    for name, found in rates.items():
        middle = statistics.median(found)
        table.add_row(name, f"{middle:,.0f}", f"{min(found):,.0f}-{max(found):,.0f}", f"{middle / most:.2f}")
    Console().print(table)


def _start(one: Contestant, folder: Path, stack: ExitStack) -> None:
    server = stack.enter_context(EmbeddedRedis(folder / "redis", fsync=one.fsync))
    place = {"RECEIVER_REDIS_URL": server.url, "RECEIVER_DATA_DIR": str(folder)}
    code = SERVE.format(group=one.group, port=one.port)
    process = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        env=os.environ | place | {"SENDBIRD_API_TOKEN": TOKEN},
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{one.port}/readyz").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"{one.name} did not start")


if __name__ == "__main__":
    main()
