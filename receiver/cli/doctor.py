"""`receiver doctor`: looks at a whole installation, and says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import redis
import typer
from rich.table import Table
from rich.text import Text

from receiver.cli import beside
from receiver.cli.checks import configuration, crew, disk, encryption, network, road, server
from receiver.cli.checks.finding import Finding, fail
from receiver.cli.output import OUT, print_json
from receiver.errors import SettingsError
from receiver.pipeline.connection import connect, connect_blocking
from receiver.redaction import clean, masked
from receiver.settings import Settings

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    url: Annotated[
        str | None, typer.Option(help="Also ask the receiver at this address: its /readyz.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Don't call Sendbird.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check an installation: Redis, the inbox, the lanes, the workers, the spool, the settings.

    Says of each how it is, and what to do. It changes nothing, and shows no secrets. The spool is that of
    this machine and this data folder. Exit code 1 if something fails.
    """
    found = list(_examine(url, offline=offline))
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _print(found)
    raise typer.Exit(1 if any(one.status == "fail" for one in found) else 0)


def _examine(url: str | None, *, offline: bool) -> Iterator[Finding]:
    try:
        config = beside.load()
    except SettingsError as error:
        yield fail("Settings", str(error), "Mend it; nothing else can be looked at before.")
        return
    yield from configuration.check(config)
    if config.redis_url is None:
        do = "Set it, such as redis://localhost:6379/0. (`receiver dev` brings a Redis of its own.)"
        yield fail("Redis", "RECEIVER_REDIS_URL is not set", do)
    else:
        yield from asyncio.run(_redis(config, config.redis_url))
    yield from disk.check(config.data_dir, config.spool_limit)
    if not offline:
        yield from asyncio.run(network.check_api(config))
    if url is not None:
        yield asyncio.run(network.check_receiver(url))


async def _redis(config: Settings, url: str) -> list[Finding]:
    client, blocking = connect(url, keyring=config.keyring), connect_blocking(url)
    found: list[Finding] = []
    try:
        found += await server.check(client)
        found += await road.check(client, blocking, config.inbox_limit)
        found += await encryption.check(client, config.keyring, config.data_dir)
        found += await asyncio.to_thread(crew.check, blocking)
    except (redis.RedisError, OSError) as error:
        where = masked(url)
        said = clean(str(error))
        do = "Start it, or mend RECEIVER_REDIS_URL. Until then events go to the spool."
        found.append(fail("Redis", f"{where} does not answer: {said}", do))
    finally:
        await client.aclose()
        blocking.close()
    return found


def _print(found: list[Finding]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("", "What", "How it is", "What to do"):
        table.add_column(heading, overflow="fold")
    for one in found:
        says, do = Text(clean(one.says)), Text(clean(one.do))
        table.add_row(Text(one.status, STYLES[one.status]), one.what, says, do)
    OUT.print(table)
    bad = {status: sum(one.status == status for one in found) for status in ("fail", "warn")}
    OUT.print(f"\n{len(found)} checks: {bad['fail']} failed, {bad['warn']} with a warning.", style="dim")
