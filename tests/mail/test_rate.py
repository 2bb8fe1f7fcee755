"""How many mails may leave per second: turns that Redis gives."""

from __future__ import annotations

import asyncio

import pytest

from receiver.errors import MailUnavailable
from receiver.mail import rate as rates
from receiver.mail.rate import KEY, Rate
from receiver.pipeline.connection import connect


@pytest.fixture
def waits(monkeypatch):
    """Don't wait, and tell how long it would have been."""
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr(rates.asyncio, "sleep", sleep)
    return waited


def now(blocking):
    seconds, micros = blocking.time()
    return seconds * 1_000_000 + micros


async def test_spaced(client, blocking, waits):
    """Turns lie evenly apart, whichever process asks: the n-th is n intervals after the first."""
    one, other = Rate(client, 10), Rate(client, 10)
    begun = now(blocking)
    for number in range(10):
        await (one, other)[number % 2].wait(f"{number}")
    free = int(blocking.get(KEY))
    assert free >= begun + 10 * 100_000
    assert free <= now(blocking) + 10 * 100_000
    assert waits[-1] <= 0.9
    assert waits == sorted(waits)


async def test_really_waits(client, blocking):
    """Mails are kept back until their turn."""
    rate = Rate(client, 50)
    begun = now(blocking)
    await asyncio.gather(*(rate.wait(f"{number}") for number in range(6)))
    assert now(blocking) - begun >= 5 * 20_000


async def test_too_long(client, blocking, waits):
    """A mail whose turn is too far off is told when, keeps that turn, and is not overtaken."""
    rate = Rate(client, 0.1)
    await rate.wait("first")
    with pytest.raises(MailUnavailable) as second:
        await rate.wait("second")
    with pytest.raises(MailUnavailable) as third:
        await rate.wait("third")
    assert 5 < second.value.retry_after <= 10 < third.value.retry_after <= 20
    with pytest.raises(MailUnavailable) as again:
        await rate.wait("second")
    assert again.value.retry_after <= second.value.retry_after
    assert len(waits) == 1


async def test_turn_comes(client, blocking, waits):
    """A mail that comes back at its turn goes, though others wait."""
    rate = Rate(client, 0.1)
    for name in ("first", "second", "third"):
        try:
            await rate.wait(name)
        except MailUnavailable:
            continue
    blocking.set(f"{KEY}:second", now(blocking) - 1_000_000)
    await rate.wait("second")
    assert waits == [0, 0]
    assert not blocking.exists(f"{KEY}:second")
    assert blocking.exists(f"{KEY}:third")


async def test_turn_missed(client, blocking, waits):
    """A mail that comes much too late gets a new turn: the rate holds after a long pause, too."""
    rate = Rate(client, 0.1)
    await rate.wait("first")
    blocking.set(f"{KEY}:late", now(blocking) - 60_000_000)
    with pytest.raises(MailUnavailable):
        await rate.wait("late")


async def test_expires(client, blocking, waits):
    """Nothing of it stays in Redis for long."""
    rate = Rate(client, 0.1)
    await rate.wait("first")
    with pytest.raises(MailUnavailable):
        await rate.wait("second")
    assert 0 < blocking.pttl(KEY) <= 21_000
    assert 0 < blocking.pttl(f"{KEY}:second") <= 21_000


async def test_redis_is_away(free_port):
    """Without Redis no mail leaves: the rate could not be kept."""
    client = connect(f"redis://127.0.0.1:{free_port}")
    with pytest.raises(MailUnavailable, match="Redis is away"):
        await Rate(client, 10).wait("1")
    await client.aclose()
