"""What is told of refused requests: seldom, and by network."""

from __future__ import annotations

from collections import Counter

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from receiver import refusals, seldom
from receiver.refusals import NETWORKS, SHOWN, WORTH_NAMING, Refusals
from receiver.seldom import Seldom


class Clock:
    """The time, which passes when told."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(refusals, "time", clock)
    monkeypatch.setattr(seldom, "time", clock)
    return clock


def test_seldom(clock):
    """A name is said once a minute, with how often there was something to say since."""
    say = Seldom()
    assert [say("a"), say("a"), say("b"), say("a")] == [1, 0, 1, 0]
    clock.now += 59.9
    assert say("a") == 0
    clock.now += 0.1
    assert [say("a"), say("a"), say("b")] == [4, 0, 1]


def test_heaviest(clock):
    """The networks that were refused the most in the last whole minute are told; few refusals are not."""
    found = Refusals()
    for number in range(SHOWN + 5):
        for _ in range(WORTH_NAMING + number):
            found.note(f"10.0.{number}.1")
    for _ in range(WORTH_NAMING - 1):
        found.note("10.1.0.1")
    assert found.heaviest() == []
    clock.now += 60
    ranked = found.heaviest()
    assert ranked[0] == ("10.0.24.0/24", WORTH_NAMING + 24)
    assert len(ranked) == SHOWN
    clock.now += 60
    assert found.heaviest() == []


def test_long_ago(clock):
    """What was refused before a quiet while is not told of as of the last minute."""
    found = Refusals()
    for _ in range(WORTH_NAMING):
        found.note("10.0.0.1")
    clock.now += 120
    assert found.heaviest() == []


def test_flood_of_networks(clock):
    """However many networks there are, the table is bounded, and who sends his share of it is named."""
    found = Refusals()
    for number in range(20_000):
        found.note(f"{11 + number % 50}.{number // 50 % 200}.{number % 251}.1")
        if number % 20 == 0:
            found.note("10.0.0.1")
        assert len(found._counts) <= NETWORKS
    clock.now += 60
    assert [name for name, _ in found.heaviest()] == ["10.0.0.0/24"]


@given(st.lists(st.integers(0, 600), max_size=3000))
def test_counts(numbers):
    """No count is too high, and none is too low by more than what the table is exact to."""
    found = Refusals()
    for number in numbers:
        found.note(f"10.{number // 256}.{number % 256}.1")
    true = Counter(f"10.{number // 256}.{number % 256}.0/24" for number in numbers)
    for name, count in true.items():
        assert count - len(numbers) / (NETWORKS + 1) <= found._counts.get(name, 0) <= count


def test_told_seldom(clock):
    """A log line a minute tells of each reason: how often, and the networks that it comes from."""
    found = Refusals()
    with structlog.testing.capture_logs() as lines:
        log = structlog.get_logger()
        for _ in range(100):
            found.note("10.0.0.1")
            found.tell(log, "bad_signature", "10.0.0.1", path="/p")
        found.tell(log, "unsigned", "10.0.0.1", path="/p")
        clock.now += 60
        found.tell(log, "bad_signature", "10.0.0.2", path="/p")
    assert [line["code"] for line in lines] == ["bad_signature", "unsigned", "bad_signature"]
    assert [line["times"] for line in lines] == [1, 1, 100]
    assert "heaviest" not in lines[0]
    assert lines[2]["heaviest"] == ["10.0.0.0/24: 100"]
