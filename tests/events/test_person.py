"""Whether a body names a person."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.events.person import Person

ANN = Person("ann")


@pytest.mark.parametrize(
    "data",
    [
        {"sender": {"user_id": "ann"}},
        {"members": [{"user_id": "bob"}, {"user_id": "ann"}]},
        {"read_updates": [{"user_id": "ann", "read_ts": 1}]},
        {"mentioned": ["ann"]},
        {"receipts": {"ann": 1}},
        {"payload": {"data": '{"users":[{"user_id":"ann"}]}'}},
        {"payload": {"data": json.dumps({"data": json.dumps(["ann"])})}},
    ],
    ids=["sender", "member", "reader", "mentioned", "key", "json in a string", "twice in a string"],
)
def test_named(data):
    """The id counts wherever it is a JSON string of its own, also in JSON within a string."""
    assert ANN.is_named(orjson.dumps(data))
    assert ANN.is_named(json.dumps(data, indent=1).encode())


@pytest.mark.parametrize(
    "data",
    [
        {"user_id": "joanna"},
        {"message": "ask ann"},
        {"user_id": "Ann"},
        {"data": '{"x": "anne"}'},
        {"data": "{ann"},
    ],
)
def test_not_named(data):
    """What merely contains the id is somebody else's, or a text."""
    assert not ANN.is_named(orjson.dumps(data))


def test_numbers():
    """A number is an id where its key says so: types drift."""
    person = Person("42")
    assert person.is_named(b'{"user_id": 42}')
    assert person.is_named(b'{"bot_userid": [1, 42]}')
    assert not person.is_named(b'{"unread_message_count": 42}')
    assert not Person("1").is_named(b'{"user_id": true}')


def test_escapes():
    """It does not matter how the body writes the id."""
    assert Person("a/b").is_named(rb'{"user_id":"a\/b"}')
    assert ANN.is_named(rb'{"user_id":"\u0061nn"}')
    assert Person("zoë").is_named(rb'{"user_id":"zo\u00eb"}')
    assert Person("zoë").is_named('{"user_id":"zoë"}'.encode())
    assert Person('a"\\').is_named(rb'{"user_id":"a\"\\"}')


def test_lenient_json():
    """Bodies that a strict reader refuses are read all the same; of others, the bytes are."""
    assert ANN.is_named(rb'{"message":"\ud83d","user_id":"ann"}')
    assert ANN.is_named(b"not json, but ann")
    assert ANN.is_named(b'{"data":{"a":' * 3 + b'"ann"')


@given(st.text(min_size=1), st.booleans())
def test_every_id(user_id, is_ascii):
    """Whatever the id is, a body with it names it, in each way in which JSON can be written."""
    body = json.dumps({"x": [{"user_id": user_id}]}, ensure_ascii=is_ascii).encode("utf-8", "replace")
    person = Person(user_id)
    if is_ascii or user_id.isascii():
        assert person.is_named(body)
        assert any(form in body for form in person.forms())
    assert not person.is_named(json.dumps({"": user_id + "."}).encode())


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("no address of ann", "no address of (removed)"),
        ("ann: failed", "(removed): failed"),
        ("'ann' and ann.", "'(removed)' and (removed)."),
        (
            "joanna, ann.smith, ann-marie, x.ann, ann@example.com",
            "joanna, ann.smith, ann-marie, x.ann, ann@example.com",
        ),
    ],
)
def test_quoted(text, rest):
    """In a text for people, the id counts as a word."""
    assert ANN.redact(text) == rest
    assert ANN.is_quoted(text) == (text != rest)
