"""A run: everything started, the webhooks sent, the mails waited for."""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import redis
import uvicorn
from aiosmtpd.smtp import SMTP
from rich.progress import Progress
from starlette.applications import Starlette

from benchmarks.digests.bodies import bodies
from benchmarks.digests.post import Post
from benchmarks.digests.processes import memory_of, start, wait_until_ready
from benchmarks.digests.report import out, report
from benchmarks.digests.sendbird import Sendbird
from receiver.cli import load
from receiver.embedded import EmbeddedRedis

PATH = "/sendbird/webhook"
TOKEN = "made-up-for-this-run-and-used-nowhere-else"  # noqa: S105 - made up, for this run
CONNECTIONS = 64


async def run(options: argparse.Namespace, folder: Path) -> None:
    """Run it, and print what was seen."""
    post = Post()
    async with AsyncExitStack() as stack:
        here = asyncio.get_running_loop()
        smtp = await here.create_server(lambda: SMTP(post, enable_SMTPUTF8=True), "127.0.0.1", 0)
        stack.callback(smtp.close)
        smtp_port = smtp.sockets[0].getsockname()[1]
        sendbird = Sendbird()
        platform_server = uvicorn.Server(
            uvicorn.Config(Starlette(routes=sendbird.routes), port=options.port + 1, log_level="warning")
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
            await _measure(options, server.url, post, sendbird, serve=serve, work=work)
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
    sendbird: Sendbird,
    *,
    serve: subprocess.Popen[bytes],
    work: subprocess.Popen[bytes],
) -> None:
    await wait_until_ready(options.port)
    connections: list[list[bytes]] = [[] for _ in range(CONNECTIONS)]
    readers: set[str] = set()
    size = 0
    for channel, body in bodies(options.users, options.channels, options.messages):
        connections[channel % CONNECTIONS].append(body)  # a channel's messages stay in order
        size += len(body)
        told = orjson.loads(body)
        sendbird.learn(told)
        others = {one["user_id"] for one in told["members"] if not one["is_online"]}
        readers |= others - {told["sender"]["user_id"]}  # chance may put him in his channel twice
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
    report(options, sent=sent, size=size, post=post, readers=readers, last_sent=last_sent, peak=peak)


async def _watch(look: Any) -> None:
    while True:
        await asyncio.to_thread(look)
        await asyncio.sleep(1)
