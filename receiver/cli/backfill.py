"""A file of requests, one JSON object a line, as events for the inbox."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast, get_args

import orjson

from receiver.errors import ReceiverError, Rejected
from receiver.events.envelope import Envelope, Source
from receiver.intake import Intake

SOURCES = tuple(source for source in get_args(Source) if source in ("webhook", "bot"))
_WRAPPER = {"source", "received", "body"}
_intake = Intake(())  # the operator vouches for what stands in the file


def read(path: Path) -> Iterator[Envelope]:
    """Give the events of a file's lines, in their order. Empty lines are passed over.

    A line is the body of a webhook or bot callback itself, or an object with `body` and, if they are
    known, `source` ("webhook" or "bot") and `received` (an ISO time).

    Raises:
        ReceiverError: the file can't be read, or not twice (to check it first), or a line is no request; it
            names the line.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ReceiverError(
                f"{path}: expected a regular file, since it is read twice: to check it, then to store it. "
                "This is a pipe, a folder or a device. Save what it gives to a file first."
            )
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _open(line.strip(), f"{path}:{number}")
    except OSError as error:
        raise ReceiverError(f"{path} can't be read: {error.strerror}") from None


def _open(line: bytes, where: str) -> Envelope:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ReceiverError(f"{where}: this is no JSON: {error}") from None
    try:
        if isinstance(data, dict) and isinstance(data.get("body"), dict) and data.keys() <= _WRAPPER:
            return _unwrap(data)
        return _intake.vouched(line)
    except (Rejected, ValueError) as error:
        raise ReceiverError(f"{where}: {error}") from None


def _unwrap(data: dict[str, Any]) -> Envelope:
    """Open an object with a body.

    Raises:
        Rejected: the body is malformed.
        ValueError: the source or the time is.
    """
    source = data.get("source")
    if source is not None and source not in SOURCES:
        raise ValueError(f'expected a "source" of {" or ".join(SOURCES)}, got {source!r}')
    envelope = _intake.vouched(orjson.dumps(data["body"]), cast("Source | None", source))
    if "received" not in data:
        return envelope
    return envelope._replace(received=_milliseconds(data["received"]))


def _milliseconds(value: Any) -> int:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return max(0, round(moment.timestamp() * 1000))
    except (TypeError, ValueError, OverflowError):
        expected = 'expected "received" as 2026-01-31T12:00:00Z, with a zone'
        raise ValueError(f"{expected}, got {value!r}") from None
