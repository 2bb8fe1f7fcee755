"""Connections to Redis, and the Lua scripts that run in it."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import hiredis
import redis
import redis.asyncio
from redis.asyncio.connection import (
    BlockingConnectionPool,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import NoScriptError
from redis.retry import Retry

from receiver.cipher import PLAIN, Keyring
from receiver.pipeline.link import Link

Client: TypeAlias = Any
"""An asynchronous client whose answers are bytes. (redis-py's own types leave open whether an answer is
bytes or str, and whether it is awaited.) Its `keyring` seals the bodies that are stored by it, and opens
those that are read. Its `link` is for what many ask at once."""


class _Packing:
    """Packs commands in C. redis-py's blocking connections do so, its asynchronous ones don't."""

    _serializer = HiredisRespSerializer()

    def pack_command(self, *arguments: Any) -> list[bytes]:
        """Return a command's bytes."""
        packed: list[bytes] = self._serializer.pack(*arguments)
        return packed


class _Tcp(_Packing, Connection):
    pass


class _Tls(_Packing, SSLConnection):
    pass


class _Unix(_Packing, UnixDomainSocketConnection):
    pass


class _Client(redis.asyncio.Redis):
    keyring: Keyring
    link: Link


_PACKING = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


def connect(url: str, *, timeout: float = 5.0, keyring: Keyring = PLAIN) -> Client:
    """Return a client for use on an event loop. A command fails after `timeout` seconds, once.

    It is for a few commands at once: redis-py's pool ends at 100 connections, with an error.
    """
    return _client(
        ConnectionPool.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=AsyncRetry(NoBackoff(), 0)
        ),
        keyring,
    )


def connect_many(
    url: str, *, timeout: float = 5.0, connections: int = 64, keyring: Keyring = PLAIN
) -> Client:
    """Return a client for any number of commands at once, which wait for one of `connections`."""
    return _client(
        BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=None,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=AsyncRetry(NoBackoff(), 0),
        ),
        keyring,
    )


def _client(pool: ConnectionPool, keyring: Keyring) -> Client:
    pool.connection_class = _PACKING[pool.connection_class]
    client: Any = _Client.from_pool(pool)
    client.keyring = keyring
    client.link = Link(pool)
    return client


def connect_blocking(url: str, *, timeout: float = 5.0) -> redis.Redis:
    """Return a blocking client: RQ has no other."""
    return redis.Redis.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )


@cache
def _source(name: str, family: tuple[str, ...]) -> tuple[str, str]:
    text = _read(name)
    if family:
        text = b"-- one of %s\n%s" % (_sha(b"".join(map(_read, family))).encode(), text)
    return text.decode(), _sha(text)


def _read(name: str) -> bytes:
    return files("receiver.pipeline").joinpath(f"{name}.lua").read_bytes()


def _sha(text: bytes) -> str:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


class Script:
    """A Lua script that lies beside this module, called by its hash.

    With a `family`, the hash is another one whenever one of these scripts is: a Redis that was taught
    by another version knows all of them or none.
    """

    def __init__(self, name: str, family: tuple[str, ...] = ()) -> None:
        self.text, self.sha = _source(name, family)

    def pack(self, keys: list[str], arguments: list[Any]) -> bytes:
        """Return the call as it is sent."""
        packed: bytes = hiredis.pack_command(("EVALSHA", self.sha, len(keys), *keys, *arguments))
        return packed

    async def run(self, client: Client, keys: list[str], arguments: list[Any]) -> Any:
        """Run the script, loading it first where Redis doesn't know it."""
        try:
            return await _exchange(client, self.pack(keys, arguments))
        except NoScriptError:
            return await client.eval(self.text, len(keys), *keys, *arguments)


async def _exchange(client: Client, packed: bytes) -> Any:
    """Send a packed command, and return the answer: as `client` does it, in half of its time."""
    pool = client.connection_pool
    connection = await pool.get_connection()
    try:
        await connection.send_packed_command(packed, check_health=False)
        return await connection.read_response()
    finally:
        await pool.release(connection)
