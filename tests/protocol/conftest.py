"""A connection under the protocol, with a clock that is told the time."""

from __future__ import annotations

import asyncio

import pytest

from tests.protocol.wiring import Connection


@pytest.fixture
async def connection():
    return Connection(asyncio.get_running_loop())
