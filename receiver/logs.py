"""Logging: structlog for us, and the same form for the libraries that use `logging`.

No line holds a secret that the process knows, whoever wrote it (`receiver.redaction`).
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict

from receiver import redaction

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(form: str = "auto", *, level: int = logging.INFO) -> None:
    """Send every log line to stderr as `form`: console, json, or auto (console on a terminal).

    Tracebacks are plain: with local variables they would show message bodies. Of a task that nobody waits
    for, the log says where it failed, and not with which words: they may quote what people wrote.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    if console:
        last: list[Any] = [
            _clean,
            structlog.dev.ConsoleRenderer(pad_event_to=0, exception_formatter=structlog.dev.plain_traceback),
            _clean_line,
        ]
    else:
        renderer = structlog.processors.JSONRenderer(default=_shown)
        last = [structlog.processors.format_exc_info, _clean, renderer]
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("httpx", "httpcore", "uvicorn"):  # they log every URL
        noisy = logging.getLogger(name)
        noisy.handlers = []
        noisy.propagate = True
        noisy.setLevel(logging.WARNING)
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.removeFilter(_place_only)
    asyncio_log.addFilter(_place_only)
    access = logging.getLogger(
        "uvicorn.access"
    )  # where anybody hears it, uvicorn makes a line of each request
    access.handlers = []
    access.propagate = False


def _clean(logger: Any, method: str, event: EventDict) -> EventDict:
    """Take secrets out of what a line carries; what is no text is turned into one by the renderer."""
    exception = {name: event.pop(name) for name in ("exc_info",) if name in event}
    return {**redaction.clean_values(event), **exception}


def _clean_line(logger: Any, method: str, line: str) -> str:
    return redaction.clean(line)


def _shown(value: Any) -> Any:
    return redaction.clean(repr(value))


def _place_only(record: logging.LogRecord) -> bool:
    """Have asyncio tell what kind of error nobody waited for, and where it was raised."""
    if record.exc_info and record.exc_info[1] is not None:
        first = record.getMessage().partition("\n")[0]
        record.msg, record.args = f"{first}: {place(record.exc_info[1])}", ()
        record.exc_info = record.exc_text = None
    return True


def place(error: BaseException) -> str:
    """Return an error's type and where it was raised, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


class Guarded(io.TextIOBase):
    """A stream that takes known secrets out of what is written to it, and is otherwise the one behind it."""

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def write(self, text: str) -> int:
        """Write a text without the secrets that this process knows."""
        self.behind.write(redaction.without_known(text))
        return len(text)

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed has an attribute, which io has not
        """The encoding of the stream behind it."""
        return self.behind.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override] # likewise
        """What becomes of characters that the encoding doesn't have."""
        return self.behind.errors

    def flush(self) -> None:
        """Hand on what is buffered."""
        self.behind.flush()

    def isatty(self) -> bool:
        """Tell whether it leads to a terminal."""
        return self.behind.isatty()

    def fileno(self) -> int:
        """Return the number of the file behind it."""
        return self.behind.fileno()

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def close(self) -> None:
        """Leave the stream behind it open: it is the process's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)


def guard() -> None:
    """Have stdout and stderr of this process show no secret that it knows, whoever writes to them.

    That is a net below the log: for tracebacks of a process that ends, for libraries that print, and for
    verbs. A thread that fails is told of by its place only.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Guarded):
            setattr(sys, name, Guarded(stream))
    threading.excepthook = _thread_failed


@contextmanager
def guarded() -> Iterator[None]:
    """Guard this process's streams for the length of a block."""
    before = sys.stdout, sys.stderr, threading.excepthook
    guard()
    try:
        yield
    finally:
        sys.stdout, sys.stderr, threading.excepthook = before


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        name = failed.thread.name if failed.thread else "?"
        logging.getLogger("threading").error("a thread failed: %s in %s", place(failed.exc_value), name)
