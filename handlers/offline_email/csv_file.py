"""Addresses in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from handlers.offline_email.readers import FIELDS, Reader
from receiver import SettingsError

KEY = "user_id"
_HEADER = (
    f"a first line such as {KEY},{','.join(FIELDS)} (the last three may be left out, and the order is free)"
)

Rows = Any
"""What `csv.reader` gives; the type has no public name."""

_log = structlog.get_logger("offline_email")


class CsvError(SettingsError):
    """It can't be used. The message names the file, the line and what is expected, and quotes nothing."""


class CsvFile:
    """A CSV file of readers by user id."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.readers: Mapping[str, Reader] = {}
        self._seen: tuple[int, int] | None = None

    def has_changed(self) -> bool:
        """Tell whether the file is another one than was read last."""
        return self._version() != self._seen

    def read(self) -> None:
        """Read the file.

        Raises:
            CsvError: it is missing or broken.
        """
        self._seen = self._version()
        self.readers = _read(self.path)

    def read_again(self) -> None:
        """Read the file; if it is broken, say so once and keep what was read before."""
        try:
            self.read()
        except CsvError as error:
            _log.error("the addresses stay as they were", error=str(error))

    def _version(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size


def _read(path: Path) -> dict[str, Reader]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _readers(path, csv.reader(file, strict=True))
    except OSError as error:
        raise CsvError(f"{path}: {error.strerror}. OFFLINE_EMAIL_ADDRESSES=csv:{path} names it") from error
    except UnicodeDecodeError as error:
        raise CsvError(f"{path}: this is not UTF-8 text") from error


def _readers(path: Path, rows: Rows) -> dict[str, Reader]:
    readers: dict[str, Reader | None] = {}
    try:
        columns = [column.strip() for column in next(rows, [])]
        if not {KEY, "email"} <= set(columns) or len(set(columns)) < len(columns):
            raise CsvError(f"{path}, line 1: expected {_HEADER}")
        for row in rows:
            if not row:
                continue  # an empty line, such as the last one
            if len(row) != len(columns):
                raise CsvError(f"{path}, line {rows.line_num}: expected {len(columns)} values, as in line 1")
            fields = dict(zip(columns, row, strict=True))
            user_id = fields[KEY].strip()
            if not user_id:
                raise CsvError(f"{path}, line {rows.line_num}: expected a {KEY}")
            if user_id in readers:
                raise CsvError(f"{path}, line {rows.line_num}: this {KEY} stands in an earlier line, too")
            readers[user_id] = Reader.read(fields)
    except csv.Error as error:
        raise CsvError(f"{path}, line {rows.line_num}: this is no CSV ({error})") from error
    return {user_id: reader for user_id, reader in readers.items() if reader is not None}
