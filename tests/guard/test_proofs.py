"""Tokens: comparing them, and how often they may be tried."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from receiver.guard import proofs
from receiver.guard.proofs import Tries, bearer, same

TOKEN = "a-token-that-is-löng"


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (TOKEN.encode(), True),
        (TOKEN.encode("latin-1"), False),
        (TOKEN[:-1].encode(), False),
        (TOKEN.encode() + b"\0", False),
        (b"", False),
        (b"\xff" * 5000, False),
    ],
)
def test_same(given, right):
    """Only the token itself is the token."""
    assert same(given, SecretStr(TOKEN)) == right


def test_same_compares_digests(monkeypatch):
    """What is compared has one length and says nothing about the token, in constant time."""
    compared = []
    monkeypatch.setattr(proofs.hmac, "compare_digest", lambda *both: bool(compared.append(both)))
    same(b"x", SecretStr(TOKEN))
    assert {len(one) for one in compared[0]} == {32}


@pytest.mark.parametrize(
    ("headers", "given"),
    [
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"authorization", b"bearer  abc ")], b"abc"),
        ([(b"authorization", b"Bearer")], b""),
        ([(b"authorization", b"Basic abc")], None),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], None),
        ([], None),
    ],
)
def test_bearer(headers, given):
    """A bearer token is read from the one header that has it."""
    assert bearer({"headers": headers}) == given


class TestTries:
    @pytest.fixture
    def clock(self):
        class Clock:
            now = 1000.0

            def __call__(self):
                return self.now

        return Clock()

    def test_some_then_one_at_a_time(self, clock):
        """After so many tries in vain, one is left in every so many seconds."""
        tries = Tries(3, 10.0, clock=clock)
        for _ in range(3):
            assert tries.wait("a") == 0
            tries.failed("a")
        assert tries.wait("a") == 10
        assert tries.wait("b") == 0
        clock.now += 10
        assert tries.wait("a") == 0
        tries.failed("a")
        assert tries.wait("a") == 10
        clock.now += 1000
        for _ in range(3):
            assert tries.wait("a") == 0
            tries.failed("a")
        assert tries.wait("a") == 10

    def test_bounded(self, clock):
        """It remembers so many addresses; all beyond them share what one has, until some are forgotten."""
        tries = Tries(1, 10.0, addresses=3, clock=clock)
        for name in "abcdef":
            tries.failed(name)
        assert len(tries._used) <= 4
        assert tries.wait("g") > 0
        clock.now += 1000
        assert tries.wait("g") == 0
        tries.failed("g")
        assert set(tries._used) == {"g"}
