"""Envelopes with sealed bodies, before they are stored, and after they are read. (How: `cipher.py`.)"""

from __future__ import annotations

from receiver.cipher import Keyring, is_sealed
from receiver.events.envelope import Envelope


def sealed(envelope: Envelope, keyring: Keyring) -> Envelope:
    """Return the envelope as it is stored. (Batches don't come by here: scripts make them, and read them.)"""
    if not keyring:
        return envelope
    return envelope._replace(body=keyring.seal(envelope.body, envelope.id))


def opened(envelope: Envelope, keyring: Keyring) -> Envelope:
    """Return the envelope with a body that can be read.

    Raises:
        Unreadable: it can't be decrypted here.
    """
    if not is_sealed(envelope.body):
        return envelope
    return envelope._replace(body=keyring.open(envelope.body, envelope.id))
