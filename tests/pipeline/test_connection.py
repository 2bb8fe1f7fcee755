"""Connections to Redis, and scripts that go straight to them."""

from __future__ import annotations

import asyncio

import pytest
import redis
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from receiver.events.envelope import Envelope
from receiver.pipeline import keys
from receiver.pipeline.connection import connect, connect_many
from receiver.pipeline.writer import REMEMBERED, Writer, fence
from tests.pipeline.envelopes import envelope


@pytest.mark.parametrize("make", [connect, connect_many])
@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://localhost:1", redis.asyncio.Connection),
        ("rediss://localhost:1", redis.asyncio.SSLConnection),
        ("unix:///tmp/none.sock", redis.asyncio.UnixDomainSocketConnection),
    ],
)
def test_packing(make, url, kind):
    """Every kind of connection packs a command into one piece, as Redis wants it."""
    connection = make(url).connection_pool.make_connection()
    assert isinstance(connection, kind)
    [packed] = connection.pack_command("CONFIG GET", "é", b"\x00\r\n", 12, 1.5)
    assert packed == (
        b"*6\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$2\r\n\xc3\xa9\r\n$3\r\n\x00\r\n\r\n$2\r\n12\r\n$3\r\n1.5\r\n"
    )
    assert len(connection.pack_command("SET", "large", b"x" * 100_000)) == 1  # redis-py makes several


async def test_unknown_script(client):
    """A script that Redis doesn't know is taught to it, once."""
    await client.script_flush()
    await client.config_resetstat()
    for _ in range(3):
        await fence(client, "somebody")
    stats = await client.info("commandstats")
    assert [int(stats[f"cmdstat_{name}"]["calls"]) for name in ("evalsha", "eval")] == [3, 1]


async def test_error_reply(client):
    """A script's error is raised, and its connection is used again."""
    before = await client.client_id()
    await client.set(keys.writer("w"), "no hash")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await fence(client, "w")
    assert await client.client_id() == before


async def test_late_answer(client, redis_url):
    """The answer to a script that was given up is nobody else's."""
    impatient = connect(redis_url, timeout=0.05)
    await fence(impatient, "known")
    await client.execute_command("CLIENT", "PAUSE", 30_000, "WRITE")
    with pytest.raises(RedisTimeoutError):
        await fence(impatient, "late")
    await client.execute_command("CLIENT", "UNPAUSE")
    assert await impatient.echo("mine") == b"mine"
    await impatient.aclose()


async def test_cancelled(client, redis_url):
    """A script whose caller is cancelled leaves no answer behind, and no connection taken."""
    await client.execute_command("CLIENT", "PAUSE", 30_000, "WRITE")
    waiting = asyncio.create_task(fence(client, "cancelled"))
    other = connect(redis_url)
    while int((await other.info("clients"))["blocked_clients"]) == 0:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await other.execute_command("CLIENT", "UNPAUSE")
    assert await client.echo("mine") == b"mine"
    await other.aclose()


def test_fields():
    """An envelope begins with what is stored of it, in the order in which it is."""
    assert Envelope._fields[: len(keys.FIELDS)] == keys.FIELDS


async def test_writer_forgotten(client):
    """What Redis remembers of a writer expires, counted from its last group."""
    writer = Writer(client)
    await writer.append([envelope()], writer.next_group())
    assert REMEMBERED - 60 < await client.ttl(keys.writer(writer.name)) <= REMEMBERED
