"""Where readers' addresses come from: users' metadata, a CSV file, a database, a function."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from handlers.offline_email.csv_file import CsvFile
from handlers.offline_email.readers import Metadata, Reader
from handlers.offline_email.settings import Settings
from receiver import Permanent, SettingsError

THREADS = 8
"""Of a plain function, in one process."""


class Source(Protocol):
    """Knows readers' addresses."""

    async def open(self) -> None:
        """Get ready, once in each process."""
        ...

    async def find(self, user_id: str, metadata: Metadata) -> Reader | None:
        """Return the reader, or None where there is no address."""
        ...

    async def close(self) -> None:
        """Let go of what was opened."""
        ...


class FromMetadata:
    """Addresses in users' metadata."""

    def __init__(self, *, email: str, language: str, timezone: str) -> None:
        self._keys = {"email": email, "language": language, "timezone": timezone}

    async def open(self) -> None:
        """There is nothing to open."""

    async def find(self, user_id: str, metadata: Metadata) -> Reader | None:
        """Return the reader."""
        found = await metadata()
        return Reader.read({name: found.get(key) for name, key in self._keys.items()})

    async def close(self) -> None:
        """There is nothing to close."""


class FromCsv:
    """Addresses in a CSV file, which is read again when it has changed.

    Raises:
        CsvError: the file is missing or broken.
    """

    def __init__(self, path: Path) -> None:
        self._file = CsvFile(path)
        self._file.read()
        self._reading = asyncio.Lock()

    async def open(self) -> None:
        """There is nothing to open: the file was read, so that a wrong one stops the start."""

    async def find(self, user_id: str, metadata: Metadata) -> Reader | None:
        """Return the reader. While the file is broken, those of its last good version count."""
        async with self._reading:
            if self._file.has_changed():
                await asyncio.to_thread(self._file.read_again)
        return self._file.readers.get(user_id)

    async def close(self) -> None:
        """There is nothing to close."""


class FromFunction:
    """Addresses from a function of the user's id, `async def` or plain, which runs in a thread then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._call = _import(name)
        # Of its own: a function that hangs must not hold up what else runs in threads.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="offline_email")

    async def open(self) -> None:
        """There is nothing to open."""

    async def find(self, user_id: str, metadata: Metadata) -> Reader | None:
        """Return the reader.

        Raises:
            Permanent: the function gave something that is no reader.
        """
        if inspect.iscoroutinefunction(self._call):
            given = await self._call(user_id)
        else:
            given = await asyncio.get_running_loop().run_in_executor(self._threads, self._call, user_id)
        match given:
            case None:
                return None
            case Reader():
                return given
            case str():
                return Reader.read({"email": given})
            case Mapping():
                return Reader.read(given)
        raise Permanent(
            f"OFFLINE_EMAIL_ADDRESSES={self._name} gave {type(given).__name__} for the user {user_id}: "
            "expected an address, None, or a dict with email and perhaps name, language, timezone, wants_mail"
        )

    async def close(self) -> None:
        """Let go of the threads, without waiting for a function that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def source_of(settings: Settings) -> Source:
    """Return the source that the settings name.

    Raises:
        SettingsError: it can't be had: a function that isn't there, a package that isn't installed.
    """
    chosen = settings.addresses
    if chosen == "metadata":
        return FromMetadata(
            email=settings.email_key, language=settings.language_key, timezone=settings.timezone_key
        )
    if chosen == "sql":
        return _from_sql(settings)
    if chosen.startswith("csv:"):
        return FromCsv(Path(chosen.removeprefix("csv:")))
    return FromFunction(chosen)


def _from_sql(settings: Settings) -> Source:
    try:
        from handlers.offline_email.database import FromSql  # noqa: PLC0415 - SQLAlchemy is an extra
    except ModuleNotFoundError as error:
        if error.name != "sqlalchemy":
            raise
        raise SettingsError(
            "OFFLINE_EMAIL_ADDRESSES=sql needs SQLAlchemy: pip install sendbird-receiver[sql]"
        ) from None
    assert settings.sql_url is not None
    assert settings.sql_query is not None
    return FromSql(settings.sql_url.get_secret_value(), settings.sql_query)


def _import(name: str) -> Callable[[str], Any]:
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"OFFLINE_EMAIL_ADDRESSES={name} leads nowhere ({error}): expected module:function, of a module "
            f"that Python can import from {here} or from what is installed"
        ) from error
    if not callable(function):
        raise SettingsError(f"OFFLINE_EMAIL_ADDRESSES={name} is no function, but {type(function).__name__}")
    return function  # type: ignore[no-any-return]  # what it gives is looked at when it has given it
