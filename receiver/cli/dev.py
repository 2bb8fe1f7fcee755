"""`receiver dev`: everything on one machine, after one command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from shutil import which
from typing import Annotated, Any, NoReturn

import redis
import typer
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from receiver import discovery, ports, settings
from receiver.cli import beside, reload
from receiver.cli.output import ERR
from receiver.cli.processes import STARTS_WITHIN, Processes
from receiver.embedded import EmbeddedRedis
from receiver.errors import ReceiverError, SendbirdRefused
from receiver.pipeline import keys, routes
from receiver.plugins import Handler
from receiver.redaction import masked
from receiver.sandbox.credentials import credentials
from receiver.sendbird.platform import Platform
from receiver.setting_sources import origin
from receiver.settings import Settings

RELOAD_GRACE = 600
"""Seconds that attempts have to end in the code that they began in. (Ctrl-C gives less: `Processes.stop`.)"""
DIGESTS = "handlers.offline_email"
"""Built in, and run here in any case: the sandbox has a mail server, and a member who is offline."""
SOON = {"OFFLINE_EMAIL_QUIET": "10s", "OFFLINE_EMAIL_LONGEST": "1m"}
"""Nobody wants to wait for five minutes here. What is set counts."""


@dataclass(frozen=True)
class Plan:
    """What is started, and where."""

    config: Settings
    handlers: Mapping[str, Handler]
    redis_url: str
    port: int
    sandbox_port: int
    workers: int
    smtp_port: int = 0

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
        return self._mail | {
            "RECEIVER_REDIS_URL": self.redis_url,
            "RECEIVER_DATA_DIR": str(self.config.data_dir),
            "RECEIVER_HANDLERS": ",".join(self.config.handlers),
            "RECEIVER_WEBHOOK_SECRET": secret.get_secret_value() if secret else token_hex(16),
            "SENDBIRD_APP_ID": app_id,
            "SENDBIRD_API_TOKEN": api_token,
            "SENDBIRD_API_URL": f"{self.sandbox}/v3",
            # What receiver.toml may have for a real receiver: no real application is called from here.
            "SENDBIRD_APPS": f"{app_id}:{api_token}",
            "RECEIVER_ALLOW_FROM": "127.0.0.0/8,::1/128",
        }

    @property
    def _mail(self) -> dict[str, str]:
        """Have mails go to the sandbox, unless they go elsewhere already."""
        if self.config.smtp_url or not self.smtp_port:
            return {}
        return {
            "RECEIVER_SMTP_URL": f"smtp://127.0.0.1:{self.smtp_port}",
            "RECEIVER_MAIL_FROM": self.config.mail_from or "Sandbox <chat@sandbox.localhost>",
            "RECEIVER_PUBLIC_URL": self.config.public_url or self.receiver,
        }


def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the receiver.")] = ports.RECEIVER,
    sandbox_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the sandbox and its chat page.")
    ] = ports.SANDBOX,
    smtp_port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port of the sandbox's mail server; 0: none."),
    ] = ports.SMTP,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that holds all state. [RECEIVER_DATA_DIR, .receiver]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
) -> None:
    """Run everything here: Redis, receiver, workers, and a sandbox with a chat page. No account needed.

    Handlers come from RECEIVER_HANDLERS, or else from the plugins that are installed and the built-in
    ones: the helper bot answers, and members who are offline get a mail when it has been quiet for 10 s.
    Each event is shown with what became of it.

    When a file of a plugin changes the workers are replaced; what they were doing is not cut off. When a
    handler fails the line of its own code is shown.

    Ctrl-C ends all of it; what was in flight goes on at the next start.
    """
    began = time.monotonic()
    given: dict[str, Any] = {"data_dir": data_dir} if data_dir else {}
    config = settings.load(**given)
    if not any(origin(name) != "default" for name in SOON):
        os.environ.update(SOON)
    if not config.handlers:
        config = settings.load(**given, handlers=(*discovery.installed(), DIGESTS))
    handlers = discovery.load(config.handlers)
    if port == sandbox_port:
        raise typer.BadParameter("must differ from --port", param_hint="--sandbox-port")
    if smtp_port in (port, sandbox_port):
        raise typer.BadParameter("must differ from the other ports", param_hint="--smtp-port")
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which nohup has it ignore
        signal.signal(signal.SIGHUP, _interrupt)  # the terminal is gone
    with ExitStack() as stack:
        stack.enter_context(beside.locked(config.data_dir))
        taken = {"--port": port, "--sandbox-port": sandbox_port, "--smtp-port": smtp_port}
        for name, number in taken.items():
            ports.check("127.0.0.1", number, options=name)
        redis_url, needs = config.redis_url, {}
        if redis_url is None:
            embedded = stack.enter_context(EmbeddedRedis(config.data_dir / "redis"))
            redis_url, needs = embedded.url, {"Redis": embedded.poll}
        plan = Plan(config, handlers, redis_url, port, sandbox_port, workers, smtp_port)
        _tell(plan, plan.bots)
        processes = stack.enter_context(Processes(needs))
        try:
            _run(processes, plan, began)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: all of it ends, in order
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            ERR.print("\nEnding ... (a few seconds)")
    ERR.print("Ended. Everything that was stored is still there.")


def _tell(plan: Plan, bots: Iterable[str]) -> None:
    """Tell the verbs beside this one; some bots may be new."""
    beside.tell(plan.config.data_dir, beside.Dev(plan.environment, plan.receiver, tuple(bots)))


def _run(processes: Processes, plan: Plan, began: float) -> None:
    where = ["--data-dir", str(plan.config.data_dir), "--webhook-url", f"{plan.receiver}/sendbird/webhook"]
    serve, sandbox = (
        ["serve", "--port", str(plan.port), "--for-sandbox"],
        ["sandbox", "--port", str(plan.sandbox_port), "--smtp-port", str(plan.smtp_port), *where],
    )
    processes.start("the receiver", serve, plan.environment)
    work = ["work", "--workers", str(plan.workers), "--grace", str(RELOAD_GRACE)]
    packages, folders = reload.places(plan.config.handlers or discovery.installed())
    found = reload.changes(packages, folders)  # from before they load: no change is missed
    processes.start("the workers", work, plan.environment)
    processes.start("the sandbox", sandbox, plan.environment, quiet=True)
    processes.wait_for("the receiver", f"{plan.receiver}/readyz")
    processes.wait_for("the sandbox", f"{plan.sandbox}/guard/icon.svg")  # its pages may ask for a token
    _wait_for_dispatcher(processes, plan.redis_url)
    asyncio.run(_invite_bots(plan, plan.bots))
    _show(plan, began)
    _tell_missing(plan)
    processes.start("the list of events", ["events", "--follow"], plan.environment)
    _follow(found, processes, plan, work)


def _follow(found: Iterable[set[str]], processes: Processes, plan: Plan, work: list[str]) -> NoReturn:
    """Replace the workers when their plugins change; new bots are invited."""
    invited = set(plan.bots)

    def loaded(new: reload.Loaded) -> None:
        try:
            asyncio.run(_invite_bots(plan, sorted(set(new.bots) - invited)))
            invited.update(new.bots)
            _tell(plan, new.bots)
        except ReceiverError as error:
            ERR.print(f"[yellow]The new bots could not be invited:[/yellow] {escape(str(error))}")

    reloading = reload.Reload(
        processes, "the workers", work, plan.environment, handlers=plan.handlers, loaded=loaded
    )
    reloading.run(found)
    raise ReceiverError("the plugins' files are not watched any more")  # they are for ever


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


async def _invite_bots(plan: Plan, bots: Iterable[str]) -> None:
    """Make bots that a handler answers for, and bring them into the sandbox's channels."""
    callback_url = f"{plan.receiver}/sendbird/bot"
    async with Platform(f"{plan.sandbox}/v3", plan.environment["SENDBIRD_API_TOKEN"]) as platform:
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


def _show(plan: Plan, began: float) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    greeting = f"say hello to {', '.join(plan.bots)}" if plan.bots else "no handler has a bot"
    table.add_row("Chat page", f"[link={plan.sandbox}/]{plan.sandbox}/[/link]   {greeting}")
    if plan.smtp_port:
        mails = f"{plan.sandbox}/mail"
        table.add_row("Mails", f"[link={mails}]{mails}[/link]   to smtp://127.0.0.1:{plan.smtp_port}")
    table.add_row("Webhooks", f"{plan.receiver}/sendbird/webhook")
    table.add_row("Bot callbacks", f"{plan.receiver}/sendbird/bot")
    table.add_row("Sandbox API", f"{plan.sandbox}/v3")
    table.add_row("Metrics", f"{plan.receiver}/metrics")
    table.add_row("Handlers", ", ".join(plan.handlers))
    table.add_row("State", str(plan.config.data_dir.resolve()))
    table.add_row("Redis", masked(plan.redis_url))
    title = f"Ready after {time.monotonic() - began:.1f} s"
    ERR.print(Panel(table, title=title, subtitle="Ctrl-C ends everything", border_style="green"))
    elsewhere = plan.config.data_dir != Settings.model_fields["data_dir"].default
    setting = f"RECEIVER_DATA_DIR={plan.config.data_dir} " if elsewhere else ""
    ERR.print(f"In another terminal, in this folder:  {setting}{_command()} events show ID", style="dim")
    ERR.print("Events, as they come:", style="bold")


def _tell_missing(plan: Plan) -> None:
    """Say which handlers were here before and aren't loaded now: what comes for them waits."""
    with redis.Redis.from_url(plan.redis_url) as client:
        missing = {route.handler for route in routes.published(client)}.difference(plan.handlers)
    for name in sorted(missing):
        ERR.print(
            f"{escape(name)} isn't loaded: its events wait until it is back, or is forgotten "
            f"(receiver handlers forget {escape(name)})",
            style="yellow",
        )


def _command() -> str:
    """Return how `receiver` is called here."""
    if which("receiver"):
        return "receiver"
    called = Path(sys.argv[0])
    return f"{os.path.relpath(sys.executable)} -m receiver" if called.suffix else os.path.relpath(called)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
