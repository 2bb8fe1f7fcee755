"""Whatever JSON comes, the events survive it."""

from __future__ import annotations

import dataclasses

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver import samples
from receiver.events import CATEGORIES, Classification, Unclassifiable, classify, open_event

SAMPLES = [sample.payload for sample in samples.load_all()]


def keys_of(value) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


KEYS = sorted(keys_of(SAMPLES) | {"freeze", "parent_message_id", "deleted_at", "file"})
# What orjson gives: no lone surrogates, ints of 64 bits, beyond them floats.
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([0, 1, 1_700_000_000, 1_700_000_000_000, 2**63])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "0", "true", "MESG", "FILE", "ADMM", "7340125518", "open_channel", "\x00", "🥐"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)
bodies = st.dictionaries(st.sampled_from(KEYS), json_values, max_size=10)
categories = st.sampled_from([*sorted(CATEGORIES), "weather:storm"])


def look_at_all(value, seen=0) -> None:
    """Read every public attribute of an event and of the values in it."""
    assert isinstance(repr(value), str)
    for name in dir(type(value)):
        if name.startswith("_"):
            continue
        found = getattr(value, name)
        for part in found if isinstance(found, tuple) else (found,):
            if dataclasses.is_dataclass(part) and seen < 3:
                hash(part)
                look_at_all(part, seen + 1)


@st.composite
def broken_samples(draw):
    """A sample in which some places hold something else."""
    body = orjson.loads(orjson.dumps(draw(st.sampled_from(SAMPLES))))
    category = body["category"]
    for _ in range(draw(st.integers(1, 3))):
        place = body
        while True:
            choices = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not choices:
                break
            key = draw(st.sampled_from(choices))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            place[key] = draw(json_values)
            break
    body["category"] = category
    return body


@given(st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)) | bodies)
def test_classify_anything(data):
    """Any JSON is either classified or refused with Unclassifiable."""
    try:
        found = classify(data)
    except Unclassifiable:
        return
    assert isinstance(found, Classification)
    assert found.category == data["category"]


@settings(max_examples=400)
@given(categories, bodies | broken_samples())
def test_every_accessor(envelope_of, category, body):
    """No attribute of any event raises, whatever stands in an object of any category."""
    body["category"] = category
    found = classify(body)
    assert all(type(part) is str and len(part) <= 200 for part in found)
    look_at_all(open_event(envelope_of(body)))


@pytest.mark.parametrize("category", sorted(CATEGORIES))
def test_nothing_but_a_category(envelope_of, category):
    """A body with nothing but its category reads as empty."""
    assert classify({"category": category}) == (category, "", "")
    look_at_all(open_event(envelope_of({"category": category})))


@given(st.text(), st.text(), st.integers(), st.floats(), st.binary())
def test_what_json_parsers_may_give(first, second, number, fraction, octets):
    """Lone surrogates, ints of any size, NaN and bytes are no danger either."""
    for value in (first + "\ud800", number * 10**5000, fraction, octets, {1: 2}, (first,)):
        classify(
            {
                "category": "group_channel:reaction_add",
                "app_id": value,
                "channel": {"channel_url": value},
                "user": {"user_id": value},
                "reaction": second * 300,
                "ts": value,
                "message": {"message_id": value},
            }
        )
        for category in CATEGORIES:
            classify({"category": category, "joined_at": 1_700_000_000_123, "users": value, "payload": value})


def test_deep_nesting(envelope_of):
    """A body nested as deeply as orjson reads is opened and looked at."""
    for key in ("data", "members", "channel", "payload", "read_updates", "users"):
        body = orjson.loads(
            b'{"category":"group_channel:join","%s":%s%s}' % (key.encode(), b"[" * 900, b"]" * 900)
        )
        assert classify(body).category == "group_channel:join"
        for category in ("group_channel:join", "group_channel:message_send"):
            raw = b'{"category":"%s","%s":{"data":%s%s}}' % (
                category.encode(),
                key.encode(),
                b"[" * 900,
                b"]" * 900,
            )
            look_at_all(open_event(envelope_of({"category": category}, body=raw)))
