"""Ports: those that are used where none is given, and whether one can be had."""

from __future__ import annotations

import socket

from receiver.errors import ReceiverError

RECEIVER = 8000
SANDBOX = 8001
SMTP = 8025


def check(host: str, port: int, *, options: str) -> None:
    """Make sure that `host:port` can be listened on. `options` are those by which to choose another.

    Raises:
        ReceiverError: it can't.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            pass
    except OSError as error:
        raise ReceiverError(
            f"can't listen on {host}:{port}: {error.strerror or error}. Choose another with {options}."
        ) from None


def free() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
