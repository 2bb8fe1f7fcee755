"""Ports that can't be had."""

from __future__ import annotations

import re
import socket

import pytest

from receiver import ports
from receiver.errors import ReceiverError


def test_free(free_port):
    """A port that is free is no matter, and is free afterwards."""
    for _ in range(2):
        ports.check("127.0.0.1", free_port, options="--port")


def test_taken():
    """A port that is taken is told, with the options that choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = re.escape(f"can't listen on 127.0.0.1:{port}: Address already in use")
        with pytest.raises(ReceiverError, match=f"^{said}.* Choose another with --here[.]$"):
            ports.check("127.0.0.1", port, options="--here")


def test_no_address():
    """An address that isn't this machine's is told."""
    with pytest.raises(ReceiverError, match=r"^can't listen on 192\.0\.2\.1:0: Cannot assign"):
        ports.check("192.0.2.1", 0, options="--host")
