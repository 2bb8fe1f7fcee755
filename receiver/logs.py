"""Logging: structlog for us, and the same form for the libraries that use `logging`."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(form: str = "auto", *, level: int = logging.INFO) -> None:
    """Send every log line to stderr as `form`: console, json, or auto (console on a terminal).

    Tracebacks are plain: with local variables they would show message bodies.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    if console:
        last: list[Any] = [
            structlog.dev.ConsoleRenderer(pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
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
    access = logging.getLogger(
        "uvicorn.access"
    )  # where anybody hears it, uvicorn makes a line of each request
    access.handlers = []
    access.propagate = False
