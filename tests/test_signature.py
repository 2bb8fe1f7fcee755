"""The proof of origin: what is genuine, and that no bytes break the check."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver import samples, signature
from receiver.signature import Key

BODY = b'{"category":"open_channel:message_send","text":"caf\xc3\xa9"}'
SIGNED = [sample for sample in samples.load_all() if sample.is_signed]


def test_known_answer():
    """A signature is the one that RFC 4231 gives for its second test case."""
    expected = b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature.sign(b"Jefe", b"what do ya want for nothing?") == expected


def test_form():
    """A signature is 64 lowercase hex digits."""
    given_out = signature.sign(b"token", BODY)
    assert len(given_out) == 64
    assert given_out == given_out.lower() == hmac.new(b"token", BODY, hashlib.sha256).hexdigest().encode()


@pytest.mark.parametrize("sample", SIGNED, ids=lambda sample: f"{sample.category}/{sample.case}")
def test_samples(sample):
    """Each committed signature is genuine, and only for its own bytes."""
    given_one = sample.headers["x-sendbird-signature"].encode()
    keys = [Key(samples.API_TOKEN.encode())]
    assert signature.verify(keys, sample.body, given_one)
    assert not signature.verify(keys, sample.body + b" ", given_one)


@example(token=b"t" * 64, bodies=[BODY])
@example(token=b"t" * 65, bodies=[BODY, BODY])
@given(token=st.binary(max_size=200), bodies=st.lists(st.binary(max_size=200), max_size=3))
def test_a_key_is_used_again(token, bodies):
    """A key signs as `hmac` does, however long its token is, and whatever it has signed before."""
    key = Key(token)
    for body in bodies:
        assert key.sign(body) == hmac.new(token, body, hashlib.sha256).hexdigest().encode()


def test_any_token():
    """Any of several tokens will do, and none of others."""
    keys = [Key(b"first"), Key(b"second"), Key(b"third")]
    for token in (b"first", b"second", b"third"):
        assert signature.verify(keys, BODY, signature.sign(token, BODY))
    assert not signature.verify(keys[:2], BODY, signature.sign(b"third", BODY))


def test_no_token():
    """Without a token nothing is genuine: not even a signature under the empty one."""
    assert not signature.verify([], BODY, signature.sign(b"", BODY))


@given(token=st.binary(), body=st.binary(), given_one=st.binary())
def test_any_bytes(token, body, given_one):
    """Whatever bytes come as a signature, they are judged; only the right ones are genuine."""
    right = signature.sign(token, body)
    assert signature.verify([Key(token)], body, right)
    assert signature.verify([Key(token)], body, given_one) == (given_one == right)
