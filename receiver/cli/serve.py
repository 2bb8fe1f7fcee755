"""`receiver serve`: the ASGI server that takes the requests."""

from __future__ import annotations

import os
import signal
from typing import Annotated, Any

import structlog
import typer
import uvicorn
from uvicorn.supervisors import Multiprocess

from receiver import hangup, logs, origins, ports, settings
from receiver.cli import encryption, signals
from receiver.ip_addresses import is_loopback
from receiver.pipeline import durability
from receiver.pipeline.connection import connect_blocking
from receiver.protocol import LeanHttp
from receiver.settings import Settings

APPLICATION = "receiver.app:create"
KEEP_ALIVE = 75
"""Seconds. Sendbird reuses its connections: they shouldn't be closed between two events."""
GRACE = 10
"""Seconds that requests in flight have to end once the server is told to stop."""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = ports.RECEIVER,
    workers: Annotated[int, typer.Option(min=1, help="Server processes.")] = 1,
    for_sandbox: Annotated[bool, typer.Option("--for-sandbox", hidden=True)] = False,
) -> None:
    """Take webhooks and bot callbacks: verify, store, answer 200 at once.

    Needs RECEIVER_REDIS_URL and a proof of origin: SENDBIRD_API_TOKEN (and SENDBIRD_APPS) for signed
    webhooks and to look up bots, SENDBIRD_BOT_TOKENS for named bots, SENDBIRD_DESK_TOKEN for Desk,
    RECEIVER_WEBHOOK_SECRET for unsigned (2016) webhooks.

    In Sendbird's dashboard, the webhook URL is https://YOUR-HOST/sendbird/webhook; a bot's callback URL
    is https://YOUR-HOST/sendbird/bot, and Desk's webhook URL https://YOUR-HOST/sendbird/desk.

    SIGHUP has tokens and encryption keys read anew from receiver.toml, and drops no request and no
    connection.

    With --workers N, each process counts the requests that it has answered itself, and /metrics shows
    those of whichever process is asked. For exact sums, run N times `receiver serve` on ports of their
    own. What /metrics says of the inbox, the lanes and the handlers is the same everywhere.
    """
    with hangup.held():
        config = settings.load()
        logs.configure(config.log_format)
        log = structlog.get_logger("receiver.serve")
        check(config)
        encryption.tell(config, log)
        ports.check(host, port, options="--host and --port")
        assert config.redis_url is not None
        with connect_blocking(config.redis_url, timeout=2) as client:
            durability.warn(client)
        if not for_sandbox:
            for name, meaning in origins.warnings(config):
                log.warning(meaning, setting=name)
        log.info("receives", webhooks=f"http://{host}:{port}/sendbird/webhook", workers=workers)
        log.info("shows /metrics", to=metrics_readers(config, host))
        options: dict[str, Any] = {
            "factory": True,
            "http": LeanHttp,
            "ws": "none",
            "proxy_headers": False,
            "host": host,
            "port": port,
            "log_config": None,
            "log_level": "warning",
            "access_log": False,
            "server_header": False,
            "timeout_keep_alive": KEEP_ALIVE,
            "timeout_graceful_shutdown": GRACE,
        }
        with signals.ends_well():
            if workers == 1:
                uvicorn.run(APPLICATION, **options)
            else:
                server = uvicorn.Config(APPLICATION, workers=workers, **options)
                Supervisor(server, [server.bind_socket()]).run()


class Supervisor(Multiprocess):
    """uvicorn's, but for SIGHUP: it would replace the processes, and hang up on whoever is connected.

    The signal is held back here all the time, and so in each process that is started, until that can
    answer it; it is looked for when uvicorn looks for others, twice a second, and passed on.
    """

    def handle_signals(self) -> None:
        if hangup.came():
            for process in self.processes:
                if process.pid is not None and process.exitcode is None:
                    os.kill(process.pid, signal.SIGHUP)
        super().handle_signals()


def metrics_readers(config: Settings, host: str) -> str:
    """Return in words who can read the metrics."""
    if config.metrics_token is not None:
        return "whoever sends RECEIVER_METRICS_TOKEN as a bearer token"
    if host != "::" and not is_loopback(host) and host != "0.0.0.0":  # noqa: S104 - it is compared only
        return "nobody: set RECEIVER_METRICS_TOKEN"
    return "this machine only, and through no proxy: RECEIVER_METRICS_TOKEN opens it to others"


def check(config: Settings) -> None:
    """Make sure that there is somewhere to store, and that something can be accepted.

    Raises:
        SettingsError: naming the setting that is missing.
    """
    if config.redis_url is None:
        raise settings.missing(
            "redis_url",
            "Every event is stored there before it is answered. (`receiver dev` brings a Redis of its own.)",
        )
    origins.check(config)
