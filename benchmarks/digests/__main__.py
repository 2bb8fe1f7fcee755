"""Many offline readers: how many digests, how long until the last one, and how much memory.

    .venv/bin/python -m benchmarks.digests --users 10000 --channels 2000 --messages 100000

Everything is real and on this machine: Redis, `receiver serve`, `receiver work` with
`handlers.offline_email`, and an SMTP server that keeps no mail but counts and checks each. Only Sendbird
is played, by an HTTP server that answers how many messages a user has not read: all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from benchmarks.digests.run import run


def main() -> None:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=2_000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--quiet", type=float, default=30.0, help="seconds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--port", type=int, default=8300)
    parser.add_argument("--patience", type=float, default=600.0, help="seconds to wait for the last digest")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="digests-") as folder:
        asyncio.run(run(options, Path(folder)))


if __name__ == "__main__":
    main()
