"""The instrument of `scripts/timing`: it sees what differs, and nothing where nothing does."""

from __future__ import annotations

import random

import pytest

from benchmarks.fuzz.stand import Stand
from benchmarks.timing.measure import BOUND, compare
from benchmarks.timing.subjects import by_place, subjects, wrong

dice = random.Random(1)


def times(shift: float, *, outliers: bool = False) -> tuple[list[int], list[int]]:
    """Make times of two classes, of which the second takes `shift` longer; and say whose each is."""
    order = [dice.getrandbits(1) for _ in range(20_000)]
    found = [round(dice.gauss(2000, 100) + shift * one) for one in order]
    if outliers:
        found = [value * 100 if dice.random() < 0.01 else value for value in found]
    return found, order


@pytest.mark.parametrize("outliers", [False, True])
def test_a_difference(outliers):
    """A difference of a tenth of the spread is seen, also behind what else a machine does."""
    result = compare(*times(10, outliers=outliers))
    assert result.apart
    assert result.t > BOUND
    assert 0 < result.resolved < 10


@pytest.mark.parametrize("outliers", [False, True])
def test_no_difference(outliers):
    """Where there is none, none is seen."""
    assert not compare(*times(0, outliers=outliers)).apart


def test_no_samples():
    """Without both classes there is nothing to compare."""
    assert compare([5, 6, 7], [0, 0, 0]).t == 0


def test_guesses():
    """A guess is wrong at its place and nowhere else."""
    right = b"0123456789abcdef" * 4
    for place in (0, 63) * 50:
        guess = wrong(right, place, dice)
        assert [number for number in range(64) if guess[number] != right[number]] == [place]
    first, last = by_place(right, dice)
    assert {one[1:] for one in first} == {right[1:]}
    assert {one[:-1] for one in last} == {right[:-1]}


def test_subjects():
    """Each comparison can be made with each class, and there are controls that leak."""
    stand = Stand()
    every = subjects(stand, 1)
    for subject in every:
        subject.run(subject.first[0])
        subject.run(subject.second[0])
    assert sum(subject.wanted == "apart" for subject in every) >= 2
    assert sum(subject.wanted == "same" for subject in every) >= 8
    stand.close()
