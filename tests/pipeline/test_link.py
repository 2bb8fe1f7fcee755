"""What many ask at once goes together, and each gets its own answers."""

from __future__ import annotations

import asyncio

import hiredis
import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from receiver.embedded import EmbeddedRedis
from receiver.pipeline import link
from receiver.pipeline.connection import connect
from receiver.pipeline.link import AT_ONCE


def command(*parts):
    return hiredis.pack_command(parts)


@pytest.fixture
async def other(redis_url):
    """A second client, to look at the first one's with."""
    one = connect(redis_url)
    yield one
    await one.aclose()


async def pause(other):
    """Have Redis answer nobody who writes."""
    await other.execute_command("CLIENT", "PAUSE", 30_000, "WRITE")


async def blocked(other, number):
    """Return when so many clients wait for the end of the pause."""
    while int((await other.info("clients"))["blocked_clients"]) < number:
        await asyncio.sleep(0)


async def test_each_gets_its_own(client):
    """However many ask: in their order, with as many answers as commands."""
    asked = [[command("ECHO", f"{n}.{m}") for m in range(n % 4)] for n in range(100)]
    answers = await asyncio.gather(*(client.link.ask(one) for one in asked))
    assert answers == [[b"%d.%d" % (n, m) for m in range(n % 4)] for n in range(100)]


async def test_together(client, other):
    """A hundred callers share connections: each exchange takes all that have asked before it."""
    before = (await other.info("stats"))["total_connections_received"]
    await asyncio.gather(*(client.link.ask([command("INCR", "n")]) for _ in range(100)))
    assert await other.get("n") == b"100"
    assert (await other.info("stats"))["total_connections_received"] - before <= AT_ONCE


async def test_what_comes_meanwhile_goes_next(client, other):
    """While all exchanges wait for Redis, further commands wait here, and go together when one is over."""
    await pause(other)
    asked = []
    for number in range(AT_ONCE):
        asked.append(asyncio.create_task(client.link.ask([command("INCR", "n")])))
        await blocked(other, number + 1)
    before = (await other.info("clients"))["connected_clients"]
    asked += [asyncio.create_task(client.link.ask([command("INCR", "n")])) for _ in range(50)]
    for _ in range(10):
        assert (await other.info("clients"))["connected_clients"] == before
    await other.execute_command("CLIENT", "UNPAUSE")
    assert sorted(answer for [answer] in await asyncio.gather(*asked)) == list(range(1, AT_ONCE + 51))


async def test_who_asks_when_an_exchange_ends(client, monkeypatch):
    """Between its last look at what was asked and its end nothing gets lost."""
    monkeypatch.setattr(link, "AT_ONCE", 1)
    async with asyncio.timeout(10):
        for number in range(100):  # each is asked in the moment in which the one before is answered
            assert await client.link.ask([command("ECHO", number)]) == [b"%d" % number]


async def test_an_error_that_cannot_be_copied(client, monkeypatch):
    """Whatever is in the way of an exchange, those who wait for it are told."""

    async def read_response(*_):
        raise asyncio.IncompleteReadError(b"", 3)

    await client.ping()
    monkeypatch.setattr(redis.asyncio.connection.Connection, "read_response", read_response)
    monkeypatch.setattr(redis.asyncio.connection.UnixDomainSocketConnection, "read_response", read_response)
    asked = [client.link.ask([command("ECHO", "a")]) for _ in range(3)]
    errors = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)
    assert [type(error) for error in errors] == [RedisConnectionError] * 3
    assert all(isinstance(error.__cause__, asyncio.IncompleteReadError) for error in errors)


async def test_an_exchange_that_never_began(client):
    """Where it is cancelled before its first step, those who wait are told all the same."""
    asked = asyncio.create_task(client.link.ask([command("ECHO", "a")]))
    await asyncio.sleep(0)
    for exchange in list(client.link._exchanges):
        exchange.cancel()
    with pytest.raises(RedisConnectionError, match="ends"):
        await asyncio.wait_for(asked, 10)


async def test_an_error_is_an_answer(client):
    """Redis's refusal of one command is nobody else's."""
    wrong, right = await asyncio.gather(
        client.link.ask([command("ECHO", "a"), command("INCR", "x", "y"), command("ECHO", "b")]),
        client.link.ask([command("ECHO", "c")]),
    )
    assert (wrong[0], wrong[2], right) == (b"a", b"b", [b"c"])
    assert isinstance(wrong[1], ResponseError)


async def test_redis_goes(tmp_path):
    """All who wait are told, each by an error of its own; who asks when it is back is answered."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        one, two = connect(server.url), connect(server.url)
        await pause(two)
        asked = [asyncio.create_task(one.link.ask([command("INCR", "n")])) for _ in range(3)]
        await blocked(two, 1)
        server.kill()
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert len({id(error) for error in errors}) == 3
        assert all(isinstance(error, RedisError | OSError) for error in errors)
        with pytest.raises(RedisError):
            await one.link.ask([command("ECHO", "nobody")])
        server.start()
        assert await one.link.ask([command("ECHO", "back")]) == [b"back"]
        await one.aclose()
        await two.aclose()


async def test_cancelled(client, other):
    """What a cancelled caller has asked is done, and the others get their own answers."""
    await pause(other)
    gone, stays = (asyncio.create_task(client.link.ask([command("INCR", name)])) for name in ("a", "b"))
    await blocked(other, 1)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await other.execute_command("CLIENT", "UNPAUSE")
    assert await stays == [1]
    assert await client.link.ask([command("GET", "a"), command("ECHO", "mine")]) == [b"1", b"mine"]


async def test_the_loop_ends(client, other):
    """Where the exchanges themselves are cancelled nobody waits for ever, and what wasn't sent never is."""
    await pause(other)
    asked = []
    for number in range(AT_ONCE):
        asked.append(asyncio.create_task(client.link.ask([command("INCR", "n")])))
        await blocked(other, number + 1)
    asked += [asyncio.create_task(client.link.ask([command("INCR", "unsent")])) for _ in range(3)]
    await asyncio.sleep(0)
    for exchange in list(client.link._exchanges):
        exchange.cancel()
    for one in asked:
        with pytest.raises(RedisConnectionError, match="ends"):
            await asyncio.wait_for(one, 10)
    await other.execute_command("CLIENT", "UNPAUSE")
    assert await client.link.ask([command("GET", "unsent")]) == [None]
