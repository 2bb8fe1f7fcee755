"""`receiver dev`: everything on one machine, after one command."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NoReturn

import redis
import typer
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from receiver import plugins, settings
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


def dev(
    port: Annotated[int, typer.Option(help="Port of the receiver.")] = ports.RECEIVER,
    sandbox_port: Annotated[int, typer.Option(help="Port of the sandbox and its chat page.")] = ports.SANDBOX,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that holds all state. [RECEIVER_DATA_DIR, .receiver]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
) -> None:
    """Run everything here: Redis, receiver, workers, and a sandbox with a chat page. No account needed.

    Handlers come from RECEIVER_HANDLERS, or else from the plugins that are installed; without any, the
    built-in helper bot answers. Ctrl-C ends all of it; what was in flight goes on at the next start.
    """
    began = time.monotonic()
    config = settings.load(**({"data_dir": data_dir} if data_dir else {}))
    handlers = plugins.load(config.handlers)
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack:
        stack.enter_context(beside.locked(config.data_dir))
        for name, number in (("--port", port), ("--sandbox-port", sandbox_port)):
            ports.check("127.0.0.1", number, options=name)
        redis_url = config.redis_url
        if redis_url is None:
            redis_url = stack.enter_context(EmbeddedRedis(config.data_dir / "redis")).url
        environment = _environment(config, redis_url, sandbox_port)
        beside.tell(config.data_dir, environment)
        processes = stack.enter_context(Processes())
        try:
            _run(processes, handlers, environment, config, port, sandbox_port, workers, began)
        except KeyboardInterrupt:
            ERR.print("\nEnding ...")
    ERR.print("Ended. Everything that was stored is still there.")


def _run(
    processes: Processes,
    handlers: Mapping[str, Handler],
    environment: dict[str, str],
    config: Settings,
    port: int,
    sandbox_port: int,
    workers: int,
    began: float,
) -> None:
    receiver, sandbox = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
    where = ["--data-dir", str(config.data_dir), "--webhook-url", f"{receiver}/sendbird/webhook"]
    processes.start("the receiver", ["serve", "--port", str(port)], environment)
    processes.start("the workers", ["work", "--workers", str(workers)], environment)
    processes.start("the sandbox", ["sandbox", "--port", str(sandbox_port), *where], environment, quiet=True)
    processes.wait_for("the receiver", f"{receiver}/readyz")
    processes.wait_for("the sandbox", f"{sandbox}/")
    _wait_for_dispatcher(processes, environment["RECEIVER_REDIS_URL"])
    bots = sorted({bot for handler in handlers.values() for bot in handler.filter.bots})
    asyncio.run(_invite_bots(bots, environment, f"{receiver}/sendbird/bot"))
    _show(receiver, sandbox, environment, config, handlers, bots, began)
    while True:
        processes.check()
        time.sleep(0.5)


def _environment(config: Settings, redis_url: str, sandbox_port: int) -> dict[str, str]:
    """Return the settings of the children. The credentials are the sandbox's own, kept in the data folder."""
    app_id, api_token = credentials(config.data_dir / "sandbox")
    return {
        "RECEIVER_REDIS_URL": redis_url,
        "RECEIVER_DATA_DIR": str(config.data_dir),
        "SENDBIRD_APP_ID": app_id,
        "SENDBIRD_API_TOKEN": api_token,
        "SENDBIRD_API_URL": f"http://127.0.0.1:{sandbox_port}/v3",
    }


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


async def _invite_bots(bots: list[str], environment: dict[str, str], callback_url: str) -> None:
    """Make every bot that a handler answers for, and bring it into the sandbox's channels."""
    async with Platform(environment["SENDBIRD_API_URL"], environment["SENDBIRD_API_TOKEN"]) as platform:
        channels = [channel.channel_url async for channel in platform.list_channels()]
        for userid in bots:
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


def _show(
    receiver: str,
    sandbox: str,
    environment: dict[str, str],
    config: Settings,
    handlers: Mapping[str, Handler],
    bots: list[str],
    began: float,
) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row(
        "Chat page", f"[link={sandbox}/]{sandbox}/[/link]   say hello to {', '.join(bots) or 'nobody'}"
    )
    table.add_row("Webhooks", f"{receiver}/sendbird/webhook")
    table.add_row("Bot callbacks", f"{receiver}/sendbird/bot")
    table.add_row("Sandbox API", environment["SENDBIRD_API_URL"])
    table.add_row("Metrics", f"{receiver}/metrics")
    table.add_row("Handlers", ", ".join(handlers))
    table.add_row("State", str(config.data_dir.resolve()))
    table.add_row("Redis", Text(settings.masked(environment["RECEIVER_REDIS_URL"])))
    title = f"Ready after {time.monotonic() - began:.1f} s"
    ERR.print(Panel(table, title=title, subtitle="Ctrl-C ends everything", border_style="green"))
    elsewhere = config.data_dir != Settings.model_fields["data_dir"].default
    setting = f"RECEIVER_DATA_DIR={config.data_dir} " if elsewhere else ""
    ERR.print(f"In another terminal, in this folder:  {setting}receiver events --follow", style="dim")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
