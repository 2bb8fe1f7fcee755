from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from receiver import samples, signature
from receiver.events import CATEGORIES, classify
from receiver.samples import Sample
from receiver.sendbird import wire

ROOT = Path(__file__).parent.parent
ALL = samples.load_all()


def names(sample: Sample) -> str:
    return f"{sample.category} {sample.case}"


each = pytest.mark.parametrize("sample", ALL, ids=names)


@each
def test_signature(sample: Sample):
    """Every signature of a sample is the one that Sendbird would make; 2016's samples have none."""
    assert sample.is_signed == ("2016" not in sample.case)
    for name, value in sample.headers.items():
        if "signature" in name:
            assert value == signature.sign(samples.API_TOKEN.encode(), sample.body).decode()


@each
def test_wire_form(sample: Sample):
    """Every sample's bytes are those that Sendbird would put on the wire."""
    assert sample.body == wire.encode(json.loads(sample.body))
    assert sample.body.isascii()
    assert not re.search(rb"(?<!\\)/", sample.body)
    assert b"\n" not in sample.body


@each
def test_headers(sample: Sample):
    """Every sample carries Sendbird's headers, 2016's with the content type that is not well-formed."""
    assert sample.headers["user-agent"] == "SendBird"
    old = "2016" in sample.case
    assert sample.headers["content-type"] == ("application/json, charset=utf8" if old else "application/json")


@each
def test_place(sample: Sample):
    """A sample is stored under its category."""
    path = samples.folder() / sample.category.replace(":", "/") / f"{sample.case}.json"
    assert path.read_bytes() == sample.body


@pytest.mark.parametrize("category", CATEGORIES.values(), ids=lambda category: category.name)
def test_complete(category):
    """Every category has a sample, and one of each type it has, in the shape of 2016 and today's."""
    of_category = [sample for sample in ALL if sample.category == category.name]
    assert of_category
    if category.name.endswith(":message_send"):
        assert {"mesg", "file", "admm", "mesg-2016", "file-2016", "admm-2016"} <= {
            s.case for s in of_category
        }
        assert {sample.type for sample in of_category} == set(category.types)


def test_one_unknown():
    """Among the samples is one of a category that the catalogue does not know."""
    assert {sample.category for sample in ALL} - CATEGORIES.keys() == {"weather:storm"}


def test_no_two_look_the_same():
    """No sample is taken for another one's repeat."""
    identities = [named for sample in ALL if (named := classify(sample.payload).identity)]
    assert len(identities) == len(set(identities)) > 40


def test_hard_bytes():
    """The samples hold what breaks naive parsers: ids beyond 2^32, surrogate pairs, escaped slashes."""
    everything = b"".join(sample.body for sample in ALL)
    assert max(int(found) for found in re.findall(rb'"message_id":(\d+)', everything)) > 2**32
    assert rb"\ud83e\udd50" in everything
    assert rb"https:\/\/" in everything


def test_generator_agrees():
    """The committed bytes are those that scripts/make-fixtures writes."""
    command = [sys.executable, str(ROOT / "scripts" / "make-fixtures"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("wanted", "case"),
    [
        (("group_channel:message_send",), "mesg"),
        (("group_channel:message_send", "FILE"), "file"),
        (("group_channel:message_send", None, "admm-2016"), "admm-2016"),
        (("group_channel:message_send", "MESG", "mesg-members"), "mesg-members"),
        (("bot_message_notification",), "plain"),
        (("user:block",), "plain"),
    ],
)
def test_find(wanted, case):
    """The usual sample of a category and type is found without naming its case."""
    found = samples.find(*wanted)
    assert (found.category, found.case) == (wanted[0], case)
    assert wanted[1:2] in [(), (None,), (found.type,)]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (("group_chanel:message_send",), "Did you mean group_channel:message_send"),
        (("xyzzy",), "There are: alert:user_message_rate_limit_exceeded, "),
        (("reaction",), "Did you mean group_channel:reaction_add or group_channel:reaction_delete?"),
        (("group_channel:message_send", "TEXT"), "no type 'TEXT'. Its types: ADMM, FILE, MESG"),
        (("user:block", "MESG"), "user:block has no types."),
        (("user:block", None, "fancy"), "no case 'fancy'. Its cases: plain."),
        (
            ("open_channel:message_send", "FILE", "mesg"),
            "no case 'mesg' of type FILE. Its cases: file, file-2016.",
        ),
    ],
)
def test_not_found(wanted, told):
    """What is not there is answered with what is."""
    with pytest.raises(samples.SampleNotFound) as caught:
        samples.find(*wanted)
    assert told in str(caught.value)


def test_payload_is_a_copy():
    """Changing a sample's payload changes no one else's."""
    sample = samples.find("user:block")
    sample.payload["blocker"]["user_id"] = "someone else"
    assert sample.payload["blocker"]["user_id"] == "mira"


@each
def test_refresh(sample: Sample):
    """A refreshed sample is another event, by every id and time that it carries, and has the same shape."""
    payload = sample.payload
    samples.refresh(payload, 1_800_000_000_123)
    before, after = classify(sample.payload), classify(payload)
    assert (after.category, after.conversation) == (before.category, before.conversation)
    assert bool(after.identity) == bool(before.identity)
    assert not after.identity or after.identity != before.identity
    assert json.dumps(payload).count('"') == sample.body.decode().count('"')


def test_refresh_keeps_units():
    """A time in seconds stays one in seconds, and an id that is a string stays one."""
    created = samples.find("group_channel:create", case="seconds").payload
    samples.refresh(created, 1_800_000_000_123)
    assert created["created_at"] == 1_800_000_000
    drifted = samples.find("group_channel:message_send", case="mesg-drifted").payload
    samples.refresh(drifted, 1_800_000_000_123)
    assert drifted["payload"]["message_id"] == "1800000000123000"


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("a", {"a": 1, "list": [{"x": 0}], "text": ""}),
        ("new.deep.er", {"list": [{"x": 0}], "text": "", "new": {"deep": {"er": 1}}}),
        ("list.0.x", {"list": [{"x": 1}], "text": ""}),
        ("list.0", {"list": [1], "text": ""}),
        ("list.1", {"list": [{"x": 0}, 1], "text": ""}),
        ("list.1.y", {"list": [{"x": 0}, {"y": 1}], "text": ""}),
        ("fresh.0.y", {"list": [{"x": 0}], "text": "", "fresh": [{"y": 1}]}),
    ],
)
def test_assign(path, made):
    """A dotted path reaches into objects and lists, and makes what is missing on its way."""
    payload = {"list": [{"x": 0}], "text": ""}
    samples.assign(payload, path, 1)
    assert payload == made


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("text.x", "'x' can't be set there, since what stands before it is no object."),
        ("text.x.y", "'x' can't be set there"),
        ("list.5", "'5' is no index of that list, which has 1 entries."),
        ("list.first.x", "'first' is no index"),
    ],
)
def test_assign_nowhere(path, told):
    """A path that leads nowhere is refused, and the message says where it ends."""
    with pytest.raises(samples.NoSuchPlace, match=re.escape(told)):
        samples.assign({"list": [{"x": 0}], "text": ""}, path, 1)


def test_no_folder(monkeypatch, tmp_path):
    """A package that was built without samples says so."""
    monkeypatch.setattr("receiver.__file__", str(tmp_path / "receiver" / "__init__.py"))
    with pytest.raises(samples.SampleNotFound, match="built without fixtures/"):
        samples.load_all()


def test_installed_folder(monkeypatch, tmp_path):
    """An installed package finds the samples in itself."""
    inside = tmp_path / "receiver" / "fixtures"
    inside.mkdir(parents=True)
    (tmp_path / "fixtures").mkdir()
    monkeypatch.setattr("receiver.__file__", str(tmp_path / "receiver" / "__init__.py"))
    assert samples.folder() == inside
