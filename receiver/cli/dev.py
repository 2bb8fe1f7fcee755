"""`receiver dev`: everything on one machine, after one command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from shutil import which
from typing import Annotated, NoReturn

import redis
import typer
from rich.panel import Panel
from rich.table import Table

from receiver import discovery, settings
from receiver.cli import beside, ports
from receiver.cli.output import ERR
from receiver.cli.processes import STARTS_WITHIN, Processes
from receiver.embedded import EmbeddedRedis
from receiver.errors import ReceiverError, SendbirdRefused
from receiver.pipeline import keys
from receiver.plugins import Handler
from receiver.sandbox.credentials import credentials
from receiver.sendbird.platform import Platform
from receiver.settings import Settings


@dataclass(frozen=True)
class Plan:
    """What is started, and where."""

    config: Settings
    handlers: Mapping[str, Handler]
    redis_url: str
    port: int
    sandbox_port: int
    workers: int

    @property
    def receiver(self) -> str:
        """The receiver's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox(self) -> str:
        """The sandbox's address."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def bots(self) -> list[str]:
        """The bots that a handler answers for."""
        return sorted({bot for handler in self.handlers.values() for bot in handler.filter.bots})

    @cached_property
    def environment(self) -> dict[str, str]:
        """The children's settings. The credentials are the sandbox's own, kept in the data folder."""
        app_id, api_token = credentials(self.config.data_dir / "sandbox")
        secret = self.config.webhook_secret
        return {
            "RECEIVER_REDIS_URL": self.redis_url,
            "RECEIVER_DATA_DIR": str(self.config.data_dir),
            "RECEIVER_HANDLERS": ",".join(self.config.handlers),
            "RECEIVER_WEBHOOK_SECRET": secret.get_secret_value() if secret else token_hex(16),
            "SENDBIRD_APP_ID": app_id,
            "SENDBIRD_API_TOKEN": api_token,
            "SENDBIRD_API_URL": f"{self.sandbox}/v3",
        }


def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the receiver.")] = ports.RECEIVER,
    sandbox_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the sandbox and its chat page.")
    ] = ports.SANDBOX,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that holds all state. [RECEIVER_DATA_DIR, .receiver]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
) -> None:
    """Run everything here: Redis, receiver, workers, and a sandbox with a chat page. No account needed.

    Handlers come from RECEIVER_HANDLERS, or else from the plugins that are installed; without any, the
    built-in helper bot answers. Each event is shown with what became of it.

    Ctrl-C ends all of it; what was in flight goes on at the next start.
    """
    began = time.monotonic()
    config = settings.load(**({"data_dir": data_dir} if data_dir else {}))
    handlers = discovery.load(config.handlers)
    if port == sandbox_port:
        raise typer.BadParameter("must differ from --port", param_hint="--sandbox-port")
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack:
        stack.enter_context(beside.locked(config.data_dir))
        for name, number in (("--port", port), ("--sandbox-port", sandbox_port)):
            ports.check("127.0.0.1", number, options=name)
        redis_url = config.redis_url
        if redis_url is None:
            redis_url = stack.enter_context(EmbeddedRedis(config.data_dir / "redis")).url
        plan = Plan(config, handlers, redis_url, port, sandbox_port, workers)
        beside.tell(config.data_dir, plan.environment)
        processes = stack.enter_context(Processes())
        try:
            _run(processes, plan, began)
        except KeyboardInterrupt:
            ERR.print("\nEnding ...")
    ERR.print("Ended. Everything that was stored is still there.")


def _run(processes: Processes, plan: Plan, began: float) -> None:
    where = ["--data-dir", str(plan.config.data_dir), "--webhook-url", f"{plan.receiver}/sendbird/webhook"]
    serve, sandbox = (
        ["serve", "--port", str(plan.port)],
        ["sandbox", "--port", str(plan.sandbox_port), *where],
    )
    processes.start("the receiver", serve, plan.environment)
    processes.start("the workers", ["work", "--workers", str(plan.workers)], plan.environment)
    processes.start("the sandbox", sandbox, plan.environment, quiet=True)
    processes.wait_for("the receiver", f"{plan.receiver}/readyz")
    processes.wait_for("the sandbox", f"{plan.sandbox}/")
    _wait_for_dispatcher(processes, plan.redis_url)
    asyncio.run(_invite_bots(plan))
    _show(plan, began)
    processes.start("the list of events", ["events", "--follow"], plan.environment)
    while True:
        processes.check()
        time.sleep(0.5)


def _wait_for_dispatcher(processes: Processes, redis_url: str) -> None:
    """Wait until a dispatcher leads: from then on events reach their handlers."""
    deadline = time.monotonic() + STARTS_WITHIN
    with redis.Redis.from_url(redis_url) as client:
        while time.monotonic() < deadline:
            processes.check()
            if client.exists(keys.LEASE):
                return
            time.sleep(0.05)
    raise ReceiverError(f"no dispatcher leads after {STARTS_WITHIN:g} s; see the log above")


async def _invite_bots(plan: Plan) -> None:
    """Make every bot that a handler answers for, and bring it into the sandbox's channels."""
    callback_url = f"{plan.receiver}/sendbird/bot"
    async with Platform(f"{plan.sandbox}/v3", plan.environment["SENDBIRD_API_TOKEN"]) as platform:
        channels = [channel.channel_url async for channel in platform.list_channels()]
        for userid in plan.bots:
            try:
                await platform.get_bot(userid)
                await platform.update_bot(userid, callback_url=callback_url)
            except SendbirdRefused:
                nickname = userid.replace("_", " ").title()
                await platform.create_bot(
                    userid,
                    nickname=nickname,
                    callback_url=callback_url,
                    is_privacy_mode=False,
                    show_member=True,
                )
                await platform.join_channels(userid, channels)


def _show(plan: Plan, began: float) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    greeting = f"say hello to {', '.join(plan.bots)}" if plan.bots else "no handler has a bot"
    table.add_row("Chat page", f"[link={plan.sandbox}/]{plan.sandbox}/[/link]   {greeting}")
    table.add_row("Webhooks", f"{plan.receiver}/sendbird/webhook")
    table.add_row("Bot callbacks", f"{plan.receiver}/sendbird/bot")
    table.add_row("Sandbox API", f"{plan.sandbox}/v3")
    table.add_row("Metrics", f"{plan.receiver}/metrics")
    table.add_row("Handlers", ", ".join(plan.handlers))
    table.add_row("State", str(plan.config.data_dir.resolve()))
    table.add_row("Redis", settings.masked(plan.redis_url))
    title = f"Ready after {time.monotonic() - began:.1f} s"
    ERR.print(Panel(table, title=title, subtitle="Ctrl-C ends everything", border_style="green"))
    elsewhere = plan.config.data_dir != Settings.model_fields["data_dir"].default
    setting = f"RECEIVER_DATA_DIR={plan.config.data_dir} " if elsewhere else ""
    ERR.print(f"In another terminal, in this folder:  {setting}{_command()} events show ID", style="dim")
    ERR.print("Events, as they come:", style="bold")


def _command() -> str:
    """Return how `receiver` is called here."""
    if which("receiver"):
        return "receiver"
    called = Path(sys.argv[0])
    return f"{os.path.relpath(sys.executable)} -m receiver" if called.suffix else os.path.relpath(called)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
