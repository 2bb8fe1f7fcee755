"""`receiver serve`: the ASGI server that takes the requests."""

from __future__ import annotations

from typing import Annotated

import structlog
import typer
import uvicorn

from receiver import logs, settings
from receiver.cli import encryption, ports, signals
from receiver.errors import SettingsError
from receiver.pipeline import durability
from receiver.pipeline.connection import connect_blocking
from receiver.protocol import LeanHttp
from receiver.settings import Settings

KEEP_ALIVE = 75
"""Seconds. Sendbird reuses its connections: they shouldn't be closed between two events."""
GRACE = 10
"""Seconds that requests in flight have to end once the server is told to stop."""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = ports.RECEIVER,
    workers: Annotated[int, typer.Option(min=1, help="Server processes.")] = 1,
) -> None:
    """Take webhooks and bot callbacks: verify, store, answer 200 at once.

    Needs RECEIVER_REDIS_URL and a proof of origin: SENDBIRD_API_TOKEN for signed webhooks and to look
    up bots, SENDBIRD_BOT_TOKENS for named bots, RECEIVER_WEBHOOK_SECRET for unsigned (2016) webhooks.

    In Sendbird's dashboard, the webhook URL is https://YOUR-HOST/sendbird/webhook; a bot's callback URL
    is https://YOUR-HOST/sendbird/bot.

    With --workers N, each process counts the requests that it has answered itself, and /metrics shows
    those of whichever process is asked. For exact sums, run N times `receiver serve` on ports of their
    own. What /metrics says of the inbox, the lanes and the handlers is the same everywhere.
    """
    config = settings.load()
    logs.configure(config.log_format)
    log = structlog.get_logger("receiver.serve")
    check(config)
    encryption.tell(config, log)
    ports.check(host, port, options="--host and --port")
    assert config.redis_url is not None
    with connect_blocking(config.redis_url, timeout=2) as client:
        durability.warn(client)
    log.info("receives", webhooks=f"http://{host}:{port}/sendbird/webhook", workers=workers)
    with signals.ends_well():
        uvicorn.run(
            "receiver.app:create",
            factory=True,
            http=LeanHttp,
            ws="none",
            proxy_headers=False,
            host=host,
            port=port,
            workers=workers,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
        )


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
    if not (config.api_tokens or config.bot_tokens or config.webhook_secret):
        raise SettingsError(
            "Nothing could be accepted: there is no way to prove where a request comes from.\n"
            f"{settings.missing('api_tokens', 'Signed webhooks need it, and so does looking up bots.')}"
        )
