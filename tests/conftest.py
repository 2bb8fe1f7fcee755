"""What every test may use: a real Redis, free ports, processes that end with the test."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import redis
import structlog

from receiver import ports, redaction
from receiver.embedded import EmbeddedRedis
from receiver.pipeline.connection import connect

os.environ.pop("COLUMNS", None)  # a console keeps what it finds when it is made, and the tests set it later


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def logging_as_before(monkeypatch):
    """A test that sets up logging leaves none of it: its stream is closed when it ends."""
    configure, root = structlog.configure, logging.getLogger()

    def configure_for_now(**options):
        configure(**options | {"cache_logger_on_first_use": False})  # a kept logger would outlive the test

    monkeypatch.setattr(structlog, "configure", configure_for_now)
    handlers, level = root.handlers[:], root.level
    was_set_up, config = structlog.is_configured(), structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    if was_set_up:
        configure(**config)


@pytest.fixture(autouse=True)
def secrets_forgotten(monkeypatch):
    """What a test has for a secret is none in the next one."""
    monkeypatch.setattr(redaction, "_known", redaction.Redactor())


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A Redis process for the whole session."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), fsync="no") as server:
        yield server


@pytest.fixture
def redis_url(redis_server):
    """The address of an empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def blocking(redis_url):
    """A blocking client of an empty Redis."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def client(redis_url):
    """An asynchronous client of an empty Redis."""
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def free_port():
    """A port that nothing listens on."""
    return ports.free()


@pytest.fixture
def project():
    """The project's root."""
    return Path(__file__).parent.parent
