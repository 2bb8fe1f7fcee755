"""What is told of a run."""

from __future__ import annotations

import argparse
import os
import platform

from rich.console import Console
from rich.table import Table

from benchmarks.digests.post import Post
from receiver.cli import load

out = Console()


def report(
    options: argparse.Namespace,
    *,
    sent: load.Sent,
    size: int,
    post: Post,
    readers: set[str],
    last_sent: float,
    peak: dict[str, float],
) -> None:
    """Print it; leave with 1 where a mail is missing, or came twice."""
    missing = len(readers) - len(post.by_reader)
    several = sum(count > 1 for count in post.by_reader.values())
    table = Table(title=f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    table.add_column("what")
    table.add_column("figure", justify="right")
    rows = [
        ("webhooks answered 200", f"{sent.statuses.get(200, 0):,} of {options.messages:,}"),
        ("webhooks a second", f"{sent.rate:,.0f}"),
        (
            "their latency, p50 / p99",
            f"{sent.percentile(0.5) * 1e3:.0f} / {sent.percentile(0.99) * 1e3:.0f} ms",
        ),
        ("bytes of their bodies", f"{size / 2**20:,.0f} MB"),
        ("offline readers", f"{len(readers):,}"),
        ("digests", f"{post.mails:,}"),
        ("readers without one", f"{missing:,}"),
        ("readers with more than one", f"{several:,}"),
        ("mails with a Message-ID seen before", f"{post.twice:,}"),
        ("first digest after the last webhook", f"{post.first - last_sent:,.1f} s"),
        (
            "last digest after the last webhook",
            f"{post.last - last_sent:,.1f} s, {options.quiet:g} of them quiet",
        ),
        ("digests a second", f"{post.mails / max(post.last - post.first, 0.001):,.0f}"),
        ("size of a mail", f"{post.bytes / max(post.mails, 1) / 1024:,.1f} KB"),
        *((f"memory of {name}, peak", f"{value:,.0f} MB") for name, value in peak.items()),
    ]
    for row in rows:
        table.add_row(*row)
    out.print(table)
    if missing or several or post.twice:
        raise SystemExit(1)
