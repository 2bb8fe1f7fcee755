"""Sealing bodies and opening them."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.cipher import MAGIC, OVERHEAD, PLAIN, Keyring, decode_key, is_sealed, key_id, sealed_with
from receiver.errors import Forged, MissingKey, Permanent, Unreadable

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
ring = Keyring([OLD])
bodies = st.binary().filter(lambda body: not is_sealed(body))
names = st.text(st.characters(exclude_categories=["Cs"]))


@given(bodies, names)
def test_round_trip(body, name):
    """What is sealed is opened by its name; it is longer by the overhead, and shows nothing of the body."""
    sealed = ring.seal(body, name)
    assert ring.open(sealed, name) == body
    assert len(sealed) == len(body) + OVERHEAD
    assert is_sealed(sealed)
    assert len(body) < 8 or body not in sealed


@given(st.binary(min_size=1), st.data())
def test_tampering(body, data):
    """A sealed body with any bit changed, or anything cut off, isn't opened."""
    sealed = ring.seal(b"{" + body, "e1")
    place = data.draw(st.integers(len(MAGIC) * 8, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[place // 8] ^= 1 << place % 8
    with pytest.raises(Unreadable):
        ring.open(bytes(changed), "e1")
    with pytest.raises(Unreadable):
        ring.open(sealed[: data.draw(st.integers(len(MAGIC), len(sealed) - 1))], "e1")


@given(bodies, names, names)
def test_swapping(body, one, other):
    """What was sealed for one event isn't opened as another one's."""
    sealed = ring.seal(body, one)
    if one == other:
        assert ring.open(sealed, other) == body
    else:
        with pytest.raises(Forged) as caught:
            ring.open(sealed, other)
        assert isinstance(caught.value, Permanent)


def test_stored_long_ago():
    """What an earlier version has stored stays readable: the format is this one."""
    stored = "007231c84de4b1707172737475767778797a7bbc04b48e79b609d060063d53362e404749cd"
    assert ring.open(bytes.fromhex(stored), "5f0000000000000000000001") == b"{}"


def test_no_body_passes_for_a_sealed_one():
    """A sealed body begins with what JSON can't begin with."""
    assert not MAGIC.lstrip()[:1].isspace()
    assert MAGIC[0] == 0


def test_nonces():
    """The same body is sealed otherwise each time."""
    assert len({ring.seal(b"{}", "e1") for _ in range(100)}) == 100


def test_rotation():
    """The first key seals, every one opens, and what is sealed isn't sealed again."""
    both = Keyring([NEW, OLD])
    before, after = ring.seal(b"before", "e1"), both.seal(b"after", "e2")
    assert (sealed_with(before), sealed_with(after)) == (key_id(OLD), key_id(NEW)) == both.ids[::-1]
    assert (both.open(before, "e1"), both.open(after, "e2")) == (b"before", b"after")
    assert both.seal(before, "e1") == before
    with pytest.raises(MissingKey, match=f"the key {key_id(NEW)}.*which has {key_id(OLD)} here") as caught:
        ring.open(after, "e2")
    assert caught.value.key == key_id(NEW)


def test_without_keys():
    """Nothing is sealed, plain bodies are read by everybody, and sealed ones are told apart."""
    assert not PLAIN
    assert ring
    assert PLAIN.seal(b"{}", "e1") == b"{}" == PLAIN.open(b"{}", "e1") == ring.open(b"{}", "e1")
    with pytest.raises(MissingKey, match="which is not set here"):
        PLAIN.open(ring.seal(b"{}", "e1"), "e1")
    assert sealed_with(b"{}") == sealed_with(b"") == ""


def test_keys_are_not_told():
    """Neither a ring nor an error shows a key."""
    for shown in (repr(ring), str(MissingKey(key_id(OLD), ring.ids)), str(Forged(key_id(OLD)))):
        assert key_id(OLD) in shown
        assert OLD.hex()[:8] not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "openssl rand -base64 32"),
        ("ö" * 44, "openssl rand -base64 32"),
        (base64.b64encode(OLD[:16]).decode(), r"openssl rand -base64 32 \(this is 16 bytes\)"),
        (base64.b64encode(OLD).decode() + "!", "openssl rand -base64 32"),
    ],
)
def test_wrong_keys(text, said):
    """What is no key is refused with a command that makes one, and without what it was."""
    with pytest.raises(ValueError, match=said) as caught:
        decode_key(text)
    assert text not in str(caught.value).split()


def test_right_key():
    """A key is 32 bytes in base64."""
    assert decode_key(base64.b64encode(OLD).decode()) == OLD


def test_not_loaded_without_keys():
    """The library is loaded where there are keys, and only there: it takes its time."""
    code = (
        "import sys\nloaded = {'cryptography.hazmat.primitives.ciphers'}\n"
        "import receiver.app, receiver.pipeline.runtime\nfrom receiver.cipher import Keyring\n"
        "Keyring()\nassert not loaded & set(sys.modules)\n"
        "Keyring([bytes(32)])\nassert loaded <= set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
