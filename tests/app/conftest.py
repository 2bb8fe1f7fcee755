"""Receivers over real HTTP: one for many tests, and one that has seen nothing yet."""

from __future__ import annotations

import httpx
import pytest

from tests.app.serving import LIMIT
from tests.support import ScriptedApi, Served, eventually, make_settings


@pytest.fixture(scope="module")
def shared(redis_server):
    """One receiver for many tests: starting one takes longer than most of them."""
    config = make_settings(redis_server.url, RECEIVER_MAX_BODY=LIMIT, RECEIVER_STORE_TIMEOUT=20)
    with Served(config) as server:
        yield server


@pytest.fixture
def served(shared, redis_url):
    """A receiver with an empty Redis, to which nobody is connected."""
    eventually(lambda: shared.connections == 0)
    return shared


@pytest.fixture
def fresh(redis_url):
    """A client of a receiver that has seen nothing yet."""
    with Served(make_settings(redis_url)) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
def http(served):
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


@pytest.fixture
def api():
    with ScriptedApi() as server:
        yield server
