from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.events import fields

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(anything)
def test_nothing_raises(value):
    """No value makes a reader raise, and each gives what it says it gives."""
    assert isinstance(fields.text(value), str)
    assert isinstance(fields.document(value), str)
    assert isinstance(fields.count(value), int)
    assert isinstance(fields.flag(value), bool)
    assert isinstance(fields.mapping(value), dict)
    assert isinstance(fields.items(value), list)
    assert fields.whole(value) is None or type(fields.whole(value)) is int
    assert fields.moment(value) is None or fields.moment(value).tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "read"),
    [("x", "x"), ("", ""), (7, "7"), (-7, "-7"), (True, ""), (1.0, ""), (None, ""), ([], "")],
)
def test_text(value, read):
    """Strings and numbers that can be ids are text."""
    assert fields.text(value) == read


def test_text_of_an_endless_number():
    """A number that Python would refuse to write out is no id."""
    assert fields.text(10**5000) == ""


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (7, 7),
        ("7", 7),
        ("-7", -7),
        (7.0, 7),
        (10**30, 10**30),
        (7.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        ("", None),
        ("-", None),
        ("--7", None),
        ("7.0", None),
        ("\u0667", None),
        ("²", None),
        (" 7", None),
        ("9" * 21, None),
        (None, None),
        ([7], None),
    ],
)
def test_whole(value, read):
    """Whole numbers are read from numbers and from plain digits."""
    assert fields.whole(value) == read


@pytest.mark.parametrize("value", [True, 1, 7, "true", "True", " TRUE ", "1", "yes", "on"])
def test_true(value):
    """What means true is true."""
    assert fields.flag(value) is True


@pytest.mark.parametrize("value", [False, 0, "false", "FALSE", "0", "no", "off", ""])
def test_false(value):
    """What means false is false, whatever the default."""
    assert fields.flag(value, default=True) is False


@pytest.mark.parametrize("value", [None, "<online status>", [], {}, 1.0])
def test_neither(value):
    """What is neither true nor false is the default."""
    assert fields.flag(value) is False
    assert fields.flag(value, default=True) is True


@pytest.mark.parametrize("value", [1_700_000_000, "1700000000", 1_700_000_000_000, 1.7e9, "1700000000000"])
def test_moment(value):
    """Seconds and milliseconds are told apart by magnitude."""
    assert fields.moment(value) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_moment_with_a_fraction():
    """Seconds with a fraction keep it, to the millisecond."""
    assert fields.moment(1_700_000_000.25) == datetime(2023, 11, 14, 22, 13, 20, 250000, tzinfo=UTC)


@pytest.mark.parametrize("value", [0, -5, 10**14, 10**30, float("nan"), float("inf"), True, None, "soon", []])
def test_no_moment(value):
    """What is no time is none."""
    assert fields.moment(value) is None


def test_document():
    """A document is a string; objects and lists become JSON, unless they are nested too deeply."""
    assert fields.document('{"a": 1}') == '{"a": 1}'
    assert fields.document({"a": [1]}) == '{"a":[1]}'
    assert fields.document([]) == "[]"
    deep: list = []
    for _ in range(400):
        deep = [deep]
    assert fields.document(deep) == ""
    assert fields.document(None) == ""
