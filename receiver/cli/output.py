"""What the verbs that print data share."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

import redis
import typer
from rich.console import Console, ConsoleDimensions

from receiver import redaction, settings
from receiver.cli import beside
from receiver.errors import ReceiverError
from receiver.pipeline.connection import Client, connect, connect_blocking
from receiver.redaction import masked

WIDE = 10_000
"""Columns of what is no terminal: nothing that goes to a file or a pipe is wrapped, or cut."""
_UNSHOWN = frozenset(("Cc", "Cf", "Cs"))
"""Categories of characters that a terminal obeys, or doesn't show: control, format, half surrogates."""


class Output(Console):
    """Where verbs print their data."""

    @property
    def size(self) -> ConsoleDimensions:
        """The terminal's size."""
        found = super().size
        return found if self.is_terminal else ConsoleDimensions(WIDE, found.height)

    @size.setter
    def size(self, new: tuple[int, int]) -> None:
        raise NotImplementedError  # the base class has one; nobody sets it


OUT, ERR = Output(), Console(stderr=True)
Result = TypeVar("Result")


def print_json(data: Any, *, lines: bool = False) -> None:
    """Print `data` as JSON: indented, or on one line where many follow each other."""
    shown = redaction.clean_values(data)
    typer.echo(json.dumps(shown, default=_plain, indent=None if lines else 2))


def _plain(one: Any) -> Any:
    return redaction.clean_values(asdict(one))


def harmless(text: str) -> str:
    """Return a text without what steers a terminal: ids and errors may hold what anybody wrote."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in "\n\t" or _is_shown(one) else _escaped(one) for one in text)


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in _UNSHOWN


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def show_time(milliseconds: int) -> str:
    """Return a time of day that a person can read, in the machine's zone."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def iso_time(milliseconds: int) -> str:
    """Return a time that a program can read."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def with_redis(work: Callable[[Client], Awaitable[Result]]) -> Result:
    """Run `work` with a client of the configured Redis.

    Raises:
        SettingsError: none is configured.
        ReceiverError: it doesn't answer.
    """
    return with_both(lambda client, _: work(client))


def with_both(work: Callable[[Client, redis.Redis], Awaitable[Result]]) -> Result:
    """Run `work` with a client of the configured Redis, and a blocking one, which RQ needs.

    Raises:
        SettingsError: none is configured.
        ReceiverError: it doesn't answer.
    """
    config = beside.load()
    url, keyring = config.redis_url, config.keyring
    if url is None:
        why = "Events are kept there. (Beside a running `receiver dev`, in the same folder, its own is used.)"
        raise settings.missing("redis_url", why)

    async def run() -> Result:
        client, blocking = connect(url, keyring=keyring), connect_blocking(url)
        try:
            return await work(client, blocking)
        finally:
            await client.aclose()
            blocking.close()

    try:
        return asyncio.run(run())
    except (redis.RedisError, OSError) as error:
        shown = masked(url)
        raise ReceiverError(f"RECEIVER_REDIS_URL={shown} does not answer: {error}") from None
