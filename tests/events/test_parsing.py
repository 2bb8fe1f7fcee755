"""Bodies that are nearly JSON are read; those that are none are named as such."""

from __future__ import annotations

import gc
import math
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.events.parsing import NotJSON, parse, storable


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":"\\ud83d"}', {"a": "\ud83d"}),
        (b'{"a":"\\ude00\\ud83d"}', {"a": "\ude00\ud83d"}),
        (b'{"a":1e999}', {"a": math.inf}),
        (b'{"a":[Infinity]}', {"a": [math.inf]}),
    ],
)
def test_odd_but_genuine_bodies_are_read(body, value):
    """Half an emoji and numbers beyond a double don't cost an event."""
    assert parse(body) == value


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"a":"\xff"}', b"'a'", b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 200_000],
)
def test_what_is_no_json_is_refused(body):
    """Broken, badly encoded and endlessly nested bodies raise NotJSON, and nothing else."""
    with pytest.raises(NotJSON):
        parse(body)


@given(st.binary())
def test_no_bytes_raise_anything_else(body):
    """Whatever the bytes are, the only error is NotJSON."""
    with suppress(NotJSON):
        parse(body)


@given(st.text(st.characters(exclude_categories=())))
def test_storable_text_can_be_written(text):
    """`storable` gives text that UTF-8 can hold, and changes nothing that it already could."""
    kept = storable(text)
    kept.encode()
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert kept == text


@pytest.mark.parametrize("broken", [b"[" * 5000, b'{"a":', b"\xff"])
def test_keeps_nothing(broken):
    """A body that is no JSON is let go at once: there is no cycle by which it would stay."""
    held = sys.getrefcount(broken)
    gc.disable()
    try:
        for _ in range(10):
            with suppress(NotJSON):
                parse(broken)
        assert sys.getrefcount(broken) == held
    finally:
        gc.enable()
