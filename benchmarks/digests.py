"""Many offline readers: how many digests, how long until the last one, and how much memory.

    .venv/bin/python -m benchmarks.digests --users 10000 --channels 2000 --messages 100000

Everything is real and on this machine: Redis, `receiver serve`, `receiver work` with
`handlers.offline_email`, and an SMTP server that keeps no mail but counts and checks each. Only Sendbird
is played, by an HTTP server that answers how many messages a user has not read: all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import psutil
import redis
import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from receiver.cli import load
from receiver.embedded import EmbeddedRedis

PATH = "/sendbird/webhook"
TOKEN = "made-up-for-this-run-and-used-nowhere-else"  # noqa: S105 - made up, for this run
CONNECTIONS = 64
MEMBERS = 10
"""Members of a channel, the sender among them."""
TEXT = "Could you look at the numbers for next week before we meet? The sheet is where it always is."

out = Console()


class Post:
    """An SMTP server's handler that counts mails by recipient, and those that came twice."""

    def __init__(self) -> None:
        self.by_reader: dict[str, int] = {}
        self.message_ids: set[str] = set()
        self.twice = 0
        self.bytes = 0
        self.last = 0.0
        self.first = 0.0
        self.sample: EmailMessage | None = None

    @property
    def mails(self) -> int:
        """How many came."""
        return sum(self.by_reader.values())

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.sample = self.sample or mail
        self.twice += mail["message-id"] in self.message_ids
        self.message_ids.add(mail["message-id"])
        self.by_reader[envelope.rcpt_tos[0]] = self.by_reader.get(envelope.rcpt_tos[0], 0) + 1
        self.bytes += len(content)
        self.last = time.perf_counter()
        self.first = self.first or self.last
        return "250 OK"


async def unread(request: Request) -> JSONResponse:
    """Answer that nobody has read anything."""
    ids = parse_qs(urlsplit(str(request.url)).query)["user_ids"][0].split(",")
    return JSONResponse({"unread": dict.fromkeys(ids, 1000)})


async def metadata(request: Request) -> JSONResponse:
    """Answer with a user's address."""
    return JSONResponse({"email": f"{request.path_params['user']}@example.com"})


def bodies(users: int, channels: int, messages: int) -> Iterator[tuple[int, bytes]]:
    """Give messages, spread over channels at random; each with its channel's number."""
    chance = random.Random(1)  # noqa: S311 - the same load in every run
    people = [chance.sample(range(users), MEMBERS) for _ in range(channels)]
    for position, user in enumerate(chance.sample(range(users), users)):  # everybody is somewhere
        people[position % channels][1 + position // channels % (MEMBERS - 1)] = user
    for number in range(messages):
        channel = chance.randrange(channels)
        yield channel, _body(channel, people[channel], number)


def _body(channel: int, people: list[int], number: int) -> bytes:
    sender, *readers = [f"user_{person}" for person in people]
    return orjson.dumps(
        {
            "category": "group_channel:message_send",
            "members": [_member(sender, is_online=True)] + [_member(one, is_online=False) for one in readers],
            "type": "MESG",
            "custom_type": "",
            "payload": {
                "message_id": 10_000_000 + number,
                "created_at": int(time.time() * 1000),
                "message": TEXT,
            },
            "silent": False,
            "sender": {"user_id": sender, "nickname": sender.title(), "profile_url": "", "metadata": {}},
            "mention_type": "users",
            "mentioned_users": [],
            "channel": {"channel_url": f"channel_{channel}", "name": f"Channel {channel}", "custom_type": ""},
            "app_id": "BENCH",
        }
    )


def _member(user_id: str, *, is_online: bool) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "nickname": user_id.title(),
        "profile_url": "",
        "metadata": {"email": f"{user_id}@example.com"},
        "is_active": True,
        "is_online": is_online,
        "is_hidden": 0,
        "state": "joined",
        "push_enabled": True,
        "push_trigger_option": "all",
        "do_not_disturb": False,
        "is_blocking_sender": False,
        "is_blocked_by_sender": False,
        "channel_unread_message_count": 1,
    }


def start(arguments: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start one of our own processes."""
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "receiver", *arguments],
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        )


def memory_of(pid: int) -> float:
    """Return the memory of a process and all below it, in MB; what they share counts once (PSS)."""
    top = psutil.Process(pid)
    total = 0
    for process in (top, *top.children(recursive=True)):
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 2**20


async def run(options: argparse.Namespace, folder: Path) -> None:
    """Run it, and print what was seen."""
    post = Post()
    async with AsyncExitStack() as stack:
        here = asyncio.get_running_loop()
        smtp = await here.create_server(lambda: SMTP(post, enable_SMTPUTF8=True), "127.0.0.1", 0)
        stack.callback(smtp.close)
        smtp_port = smtp.sockets[0].getsockname()[1]
        routes = [
            Route("/v3/group_channels/{url:path}/messages/unread_count", unread),
            Route("/v3/users/{user}/metadata", metadata),
        ]
        platform_server = uvicorn.Server(
            uvicorn.Config(Starlette(routes=routes), port=options.port + 1, log_level="warning")
        )
        serving = asyncio.create_task(platform_server.serve())
        server = stack.enter_context(EmbeddedRedis(folder / "redis"))
        environment = {
            "RECEIVER_REDIS_URL": server.url,
            "RECEIVER_HANDLERS": "handlers.offline_email",
            "RECEIVER_DATA_DIR": str(folder),
            "RECEIVER_SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
            "RECEIVER_MAIL_FROM": "Benchmark <chat@example.com>",
            "RECEIVER_PUBLIC_URL": f"http://127.0.0.1:{options.port}",
            "SENDBIRD_APP_ID": "BENCH",
            "SENDBIRD_API_TOKEN": TOKEN,
            "SENDBIRD_API_URL": f"http://127.0.0.1:{options.port + 1}/v3",
            "OFFLINE_EMAIL_QUIET": f"{options.quiet}s",
            "OFFLINE_EMAIL_LONGEST": "1h",
        }
        serve = start(["serve", "--port", str(options.port)], environment, folder / "serve.log")
        work = start(["work", "--workers", str(options.workers)], environment, folder / "work.log")
        try:
            await _measure(options, server.url, post, serve, work)
        finally:
            for process in (serve, work):
                process.send_signal(signal.SIGTERM)
            for process in (serve, work):
                await asyncio.to_thread(process.wait, 60)
            platform_server.should_exit = True
            await serving


async def _measure(
    options: argparse.Namespace,
    redis_url: str,
    post: Post,
    serve: subprocess.Popen[bytes],
    work: subprocess.Popen[bytes],
) -> None:
    await _wait_until_ready(options.port)
    connections: list[list[bytes]] = [[] for _ in range(CONNECTIONS)]
    readers: set[str] = set()
    size = 0
    for channel, body in bodies(options.users, options.channels, options.messages):
        connections[channel % CONNECTIONS].append(body)  # a channel's messages stay in order
        size += len(body)
        readers.update(one["user_id"] for one in orjson.loads(body)["members"] if not one["is_online"])
    peak: dict[str, float] = {}

    def look() -> None:
        with redis.Redis.from_url(redis_url) as client:
            used: dict[str, Any] = client.info("memory")
        seen = {
            "Redis": used["used_memory"] / 2**20,
            "receiver": memory_of(serve.pid),
            "workers and dispatcher": memory_of(work.pid),
        }
        for name, value in seen.items():
            peak[name] = max(peak.get(name, 0.0), value)

    with Progress(console=out) as progress:
        sending = progress.add_task("Webhooks", total=options.messages)
        mailing = progress.add_task("Digests", total=len(readers))
        watching = asyncio.create_task(_watch(look))
        lanes = ((load.signed(PATH, TOKEN, body) for body in lane) for lane in connections)
        sent = await load.send(load.Target(options.port), lanes, progress=lambda: progress.advance(sending))
        last_sent = time.perf_counter()
        deadline = last_sent + options.patience
        while len(post.by_reader) < len(readers) and time.perf_counter() < deadline:
            progress.update(mailing, completed=post.mails)
            await asyncio.sleep(0.2)
        await asyncio.sleep(options.quiet + 5)  # whatever comes in addition would come now
        progress.update(mailing, completed=post.mails)
        watching.cancel()
    _report(options, sent=sent, size=size, post=post, readers=readers, last_sent=last_sent, peak=peak)


async def _watch(look: Any) -> None:
    while True:
        await asyncio.to_thread(look)
        await asyncio.sleep(1)


async def _wait_until_ready(port: int) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(300):
            try:
                if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise SystemExit("receiver serve is not ready after 30 s")


def _report(
    options: argparse.Namespace,
    *,
    sent: load.Sent,
    size: int,
    post: Post,
    readers: set[str],
    last_sent: float,
    peak: dict[str, float],
) -> None:
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
