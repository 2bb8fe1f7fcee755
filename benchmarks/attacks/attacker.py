"""The attacks, each in a process of its own: `python -m benchmarks.attacks.attacker NAME PORT SECONDS`.

It prints what it did, as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import orjson
import uvloop

from benchmarks.speed import bodies

PATH = "/sendbird/webhook"
DEPTH = 100_000
CLAIM = b"x-sendbird-signature: " + b"0" * 64 + b"\r\n"
_HEAD = b"POST /sendbird/webhook HTTP/1.1\r\nhost: 127.0.0.1\r\n"
_addresses = itertools.cycle(f"127.0.0.{number}" for number in range(2, 255))

did: Counter[str] = Counter()
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[Reader, Writer]]:
    """Give a connection from one of many addresses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(next(_addresses), 0))
    did["connections"] += 1
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def trickle(port: int, begun: bytes, piece: bytes) -> None:
    """Begin something, and go on with it a piece a second."""
    async with connected(port) as (reader, writer):
        writer.write(begun)
        while not reader.at_eof():
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            writer.write(piece)
            did["pieces"] += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1000), 0.001)


async def pour(port: int, begun: bytes, piece: bytes) -> None:
    """Begin something, and go on with it as fast as it goes."""
    async with connected(port) as (_, writer):
        writer.write(begun)
        while not writer.is_closing():
            writer.write(piece)
            did["bytes"] += len(piece)
            await writer.drain()


async def repeat(port: int, request: bytes) -> None:
    """Send the same request again and again, each after the answer to the one before."""
    async with connected(port) as (reader, writer):
        while True:
            writer.write(request)
            did["requests"] += 1
            head = await reader.readuntil(b"\r\n\r\n")
            did[head.split(b" ", 2)[1].decode()] += 1
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)


async def stay(port: int, sent: bytes) -> None:
    """Connect, send little, and wait to be thrown out."""
    async with connected(port) as (reader, writer):
        writer.write(sent)
        while await reader.read(1000):
            pass


async def pipeline(port: int, requests: bytes) -> None:
    """Send many requests in one go, and read no answer."""
    async with connected(port) as (_, writer):
        writer.write(requests)
        did["bytes"] += len(requests)
        await writer.drain()
        await asyncio.sleep(1)


def nested() -> bytes:
    """Return JSON that is deep."""
    return b'{"category":"group_channel:message_send","x":' + b"[" * DEPTH + b"]" * DEPTH + b"}"


def forged() -> bytes:
    """Return a webhook with a wrong signature."""
    return bodies.request(PATH, bodies.body(0), CLAIM)


def bots() -> bytes:
    """Return a bot callback that is deep: those are parsed before their origin is known."""
    return bodies.request("/sendbird/bot", nested(), b"")


@dataclass(frozen=True)
class Attack:
    """`run` plays one of `at_once` attackers, until its connection is lost; then it begins again."""

    name: str
    about: str
    at_once: int
    run: Callable[[int], Awaitable[None]]
    settings: tuple[tuple[str, str], ...] = ()


def _chunk(size: int) -> bytes:
    return b"%x\r\n%b\r\n" % (size, b"x" * size)


ATTACKS = (
    Attack(
        "slow bodies",
        "1,000 connections, a byte of a body a second",
        1000,
        lambda port: trickle(port, _HEAD + CLAIM + b"content-length: 1000\r\n\r\n", b"x"),
    ),
    Attack(
        "unfinished bodies",
        "500 connections, all but a byte of 1 MB each",
        500,
        lambda port: stay(port, _HEAD + CLAIM + b"content-length: 1000000\r\n\r\n" + b"x" * 999_999),
    ),
    Attack(
        "slow heads",
        "1,000 connections, a byte of a header a second",
        1000,
        lambda port: trickle(port, _HEAD + b"x-a: ", b"x"),
    ),
    Attack(
        "huge bodies, announced",
        "20 connections, 50 MB each, as fast as it goes",
        20,
        lambda port: pour(port, _HEAD + CLAIM + b"content-length: 50000000\r\n\r\n", b"x" * 65536),
    ),
    Attack(
        "huge bodies, chunked",
        "20 connections, endless, as fast as it goes",
        20,
        lambda port: pour(port, _HEAD + CLAIM + b"transfer-encoding: chunked\r\n\r\n", _chunk(65536)),
    ),
    Attack(
        "chunk extensions",
        "20 connections, one chunk whose extension never ends",
        20,
        lambda port: pour(port, _HEAD + CLAIM + b"transfer-encoding: chunked\r\n\r\n5;", b"x" * 65536),
    ),
    Attack(
        "headers",
        "20 connections, headers without end",
        20,
        lambda port: pour(port, _HEAD, b"x-a: y\r\n" * 8192),
    ),
    Attack(
        "deep JSON, genuine",
        f"10 connections, signed webhooks, {DEPTH:,} deep",
        10,
        lambda port: repeat(port, bodies.signed(PATH, nested())),
    ),
    Attack(
        "deep JSON, unproved",
        f"10 connections, bot callbacks, {DEPTH:,} deep",
        10,
        lambda port: repeat(port, bots()),
    ),
    Attack(
        "connections",
        "6,000 idle connections where 2,000 are held, made again when they are closed",
        6000,
        lambda port: stay(port, b""),
    ),
    Attack(
        "half requests",
        "the same, each with half a head",
        6000,
        lambda port: stay(port, _HEAD),
    ),
    Attack(
        "pipelining",
        "50 connections, 10,000 requests in one go, answers unread",
        50,
        lambda port: pipeline(port, b"GET / HTTP/1.1\r\n\r\n" * 10_000),
    ),
    Attack(
        "wrong signatures",
        "50 connections, webhooks as fast as they are refused",
        50,
        lambda port: repeat(port, forged()),
    ),
    Attack(
        "readiness",
        "50 connections, /readyz as fast as it is answered",
        50,
        lambda port: repeat(port, b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"),
    ),
    Attack(
        "no HTTP",
        "50 connections, a line of nonsense each, as fast as they are closed",
        50,
        lambda port: stay(port, b"nonsense\r\n\r\n"),
    ),
)


async def attack(one: Attack, port: int, seconds: float) -> None:
    """Attack for so long."""

    async def attacker() -> None:
        while True:
            try:
                await one.run(port)
            except (OSError, asyncio.IncompleteReadError):
                did["lost"] += 1
            await asyncio.sleep(0.01)

    attackers = [asyncio.create_task(attacker()) for _ in range(one.at_once)]
    await asyncio.sleep(seconds)
    for task in attackers:
        task.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)


def main() -> None:
    """Run the attack that is named."""
    name, port, seconds = sys.argv[1:]
    [one] = [one for one in ATTACKS if one.name == name]
    uvloop.run(attack(one, int(port), float(seconds)))
    sys.stdout.buffer.write(orjson.dumps(did))


if __name__ == "__main__":
    main()
