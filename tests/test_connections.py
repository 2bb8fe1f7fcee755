"""The table of connections: who has to go when there are too many."""

from __future__ import annotations

import resource

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from receiver import connections
from receiver.connections import Connections, Standing, affordable


class Fake:
    """A connection: in flight while `idle` is None."""

    def __init__(self, idle: float | None = 0.0, *, proved: bool = False) -> None:
        self.standing = Standing()
        self.standing.proved = proved
        self.idle = idle
        self.held = 0
        self.gone = False

    def evict(self) -> None:
        self.gone = True


def full(*ones: Fake) -> Connections:
    """Return a table that has room for these."""
    table = Connections(len(ones))
    assert all(table.add(one) for one in ones)
    return table


def test_oldest_stranger_goes():
    """A newcomer takes the place of the stranger that has been there longest, whatever that one does."""
    ones = [Fake(proved=True), Fake(None), Fake(), Fake(proved=True)]
    table = full(*ones)
    assert table.add(Fake())
    assert [one.gone for one in ones] == [False, True, False, False]
    assert table.add(Fake())
    assert [one.gone for one in ones] == [False, True, True, False]
    assert (len(table), table.evicted) == (4, 2)


def test_longest_idle_goes():
    """Where all have proved themselves, the one that has been idle longest goes; none that is in flight."""
    ones = [Fake(None, proved=True), Fake(5.0, proved=True), Fake(3.0, proved=True)]
    assert full(*ones).add(Fake())
    assert [one.gone for one in ones] == [False, False, True]


def test_nobody_can_go():
    """Where every connection is proved and in flight, the newcomer goes."""
    ones = [Fake(None, proved=True), Fake(None, proved=True)]
    table = full(*ones)
    assert not table.add(Fake())
    assert not any(one.gone for one in ones)
    assert (len(table), table.evicted) == (2, 1)


def test_unfinished_goes():
    """Where all are proved and in flight, the one with the oldest unfinished body goes."""
    ones = [Fake(None, proved=True) for _ in range(4)]
    table = full(*ones)
    table.hold(ones[3], 10)
    table.hold(ones[1], 10)
    table.hold(ones[2], 10)
    table.release(ones[3])
    assert table.add(Fake())
    assert [one.gone for one in ones] == [False, True, False, False]


def test_room_again():
    """A connection that is closed makes room, whether it had proved itself or not."""
    ones = [Fake(), Fake(proved=True)]
    table = full(*ones)
    for one in ones:
        table.drop(one)
        table.drop(one)
        assert table.add(Fake())
    assert table.evicted == 0


@given(
    most=st.integers(1, 8),
    steps=st.lists(st.tuples(st.sampled_from(["stranger", "proves", "closes"]), st.integers(0, 99))),
)
def test_flood(most, steps):
    """Whatever comes and goes, there are never too many, and no proved one goes while a stranger is there."""
    table, open_ones = Connections(most), []
    for what, number in steps:
        if what == "stranger":
            strangers = [one for one in open_ones if not one.standing.proved]
            one = Fake(float(number))
            assert table.add(one)
            gone = [other for other in open_ones if other.gone]
            assert gone in ([], strangers[:1]) if strangers else len(gone) <= 1
            open_ones = [other for other in open_ones if not other.gone] + [one]
        elif open_ones:
            one = open_ones[number % len(open_ones)]
            if what == "proves":
                one.standing.proved = True
            else:
                table.drop(one)
                open_ones.remove(one)
        assert len(table) == len(open_ones) <= most


def test_held(monkeypatch):
    """When unfinished bodies are too much, the oldest goes: of strangers first, then of others."""
    monkeypatch.setattr(connections, "HELD", 1000)
    ones = [Fake(), Fake(), Fake(proved=True), Fake(), Fake(proved=True)]
    table = full(*ones)
    table.hold(ones[2], 100)
    table.hold(ones[3], 300)
    table.hold(ones[1], 300)
    table.hold(ones[4], 300)
    assert table.held == 1000
    table.hold(ones[1], 1)
    assert [one.gone for one in ones] == [False, False, False, True, False]
    assert table.held == 701
    table.hold(ones[4], 600)
    assert [one.gone for one in ones] == [False, True, False, True, False]
    table.hold(ones[4], 1)
    assert [one.gone for one in ones] == [False, True, True, True, False]
    table.release(ones[4])
    assert (table.held, ones[4].held) == (0, 0)


class TestFiles:
    @pytest.fixture
    def limits(self, monkeypatch):
        """The limits on open files: soft, hard. They can be raised as they can in truth."""
        found = [1024, 4096]

        def change(which, new):
            assert new[1] == found[1]
            assert new[0] <= new[1] or new[1] == resource.RLIM_INFINITY
            found[:] = new

        monkeypatch.setattr(resource, "getrlimit", lambda which: tuple(found))
        monkeypatch.setattr(resource, "setrlimit", change)
        return found

    @pytest.mark.parametrize(
        ("before", "wanted", "raised", "held"),
        [
            ((1024, 1_000_000), 2000, 2000 + connections.SPARE, 2000),
            ((1_000_000, 1_000_000), 2000, 1_000_000, 2000),
            ((1024, resource.RLIM_INFINITY), 2000, 2000 + connections.SPARE, 2000),
            ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 2000, resource.RLIM_INFINITY, 2000),
            ((256, 4096), 2000, 4096, 2000),
            ((1024, 1024), 2000, 1024, 512),
            ((10, 10), 2000, 10, 10),
            ((1024, 1024), 100, 1024, 100),
        ],
    )
    def test_affordable(self, limits, before, wanted, raised, held):
        """The limit on open files is raised as far as needed; where it can't be, fewer are held."""
        limits[:] = before
        assert affordable(wanted) == held
        assert limits[0] == raised

    def test_said(self, limits):
        """That fewer are held is said, with how many; that all can be is not."""
        table = Connections(1500)
        with structlog.testing.capture_logs() as lines:
            table.settle()
            assert (table.most, lines) == (1500, [])
            limits[:] = (1024, 1024)
            table.settle()
        [line] = lines
        assert (line["wanted"], line["held"], table.most) == (1500, 512, 512)
