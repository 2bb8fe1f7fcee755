"""Ends by signal: a server that was told to end, and has, did well."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def ends_well() -> Iterator[None]:
    """Run a uvicorn server in this block: SIGTERM ends the process with 0.

    uvicorn raises the signal again when it has ended, and the process would die of it.
    """
    signal.signal(signal.SIGTERM, _end)
    yield
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one, while the interpreter ends


def _end(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)
