"""`receiver work`: RQ workers that run the handlers, and a dispatcher that gives them their events."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated

import redis
import structlog
import typer

from receiver import discovery, logs, settings
from receiver.cli import encryption, handover, spans
from receiver.errors import ReceiverError
from receiver.pipeline import durability, routes
from receiver.pipeline.connection import connect_blocking
from receiver.pipeline.pool import Pool, quiet_rq

_log = structlog.get_logger("receiver.work")


def work(
    workers: Annotated[
        int, typer.Option(min=0, help="Worker processes. 0: the dispatcher only, for a pool of `rq worker`s.")
    ] = 2,
    handlers: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Run these handlers only. Default: all. See `receiver handlers`."
        ),
    ] = None,
    grace: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds that running attempts have to end at SIGTERM; then they are handed back."
        ),
    ] = 20.0,
) -> None:
    """Run handlers on stored events.

    Start it as often as you like, on as many machines as you like: one dispatcher leads, each
    conversation stays in order, and what a dead worker had is taken over.

    Handlers come from RECEIVER_HANDLERS, or else from the plugins that are installed. A plain RQ worker
    can run them, too, with the same environment (NAME is a handler's: see `receiver handlers`):

    export RQ_REDIS_URL=$RECEIVER_REDIS_URL
    rq worker --serializer json --with-scheduler receiver.NAME
    """
    config = settings.load()
    logs.configure(config.log_format)
    quiet_rq()
    if config.redis_url is None:
        raise settings.missing("redis_url", "That is where the events to work on are kept.")
    encryption.tell(config, _log)
    for name, meaning in spans.warnings(config):
        _log.warning(meaning, setting=name)
    known = discovery.load(config.handlers)
    if not known:
        modules = ", ".join(config.handlers or discovery.installed())
        raise ReceiverError(
            f"there is no handler to run: the Handlers of {modules} are empty. Register a function with "
            "@handlers.on(...) or handlers.bot(...), or name another module in RECEIVER_HANDLERS."
        )
    wanted = _wanted(handlers, known)
    client = connect_blocking(config.redis_url)
    _wait_for(client)
    durability.warn(client)
    handover.wait_for_turn(known.values(), client)
    routes.publish(client, known.values())
    client.close()
    _log.info("works", handlers=wanted, workers=workers)
    Pool(config, [known[name] for name in wanted], workers, grace=grace).run()


def _wanted(names: str | None, known: Iterable[str]) -> list[str]:
    known = list(known)
    if names is None:
        return known
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise ReceiverError(f"--handlers names no handler. There are: {', '.join(known)}.")
    for name in wanted:
        if name not in known:
            raise ReceiverError(f"there is no handler {name!r}. There are: {', '.join(known)}.")
    return wanted


def _wait_for(client: redis.Redis) -> None:
    """Wait until Redis answers: in a new deployment it may start last."""
    while True:
        try:
            client.ping()
        except (redis.RedisError, OSError) as error:
            _log.warning("RECEIVER_REDIS_URL does not answer; waiting for it", error=str(error))
            time.sleep(2)
        else:
            return
