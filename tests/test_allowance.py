"""How often something may be done."""

from __future__ import annotations

import pytest

from receiver.allowance import Allowance


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_so_many_and_then_one_at_a_time(clock):
    """So many pass at once; after that one in so many seconds, however long the others knock."""
    allowance = Allowance(3, 10.0, clock=clock)
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
    assert allowance.wait() == 10
    clock.now += 4
    assert (allowance.take(), allowance.wait()) == (False, 6)
    clock.now += 6
    assert [allowance.take() for _ in range(2)] == [True, False]


def test_no_more_than_whole(clock):
    """A long quiet while lets no more through at once than it did at first."""
    allowance = Allowance(3, 10.0, clock=clock)
    assert allowance.is_whole
    assert allowance.take()
    assert not allowance.is_whole
    clock.now += 1000
    assert allowance.is_whole
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]


def test_used_beyond(clock):
    """What passed though it should not have is waited for, too."""
    allowance = Allowance(1, 10.0, clock=clock)
    for _ in range(3):
        allowance.use()
    assert allowance.wait() == 30
