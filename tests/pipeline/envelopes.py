"""Envelopes for tests that don't care what is in them."""

from __future__ import annotations

from receiver.events.envelope import Envelope
from receiver.intake import new_id


def envelope(body=b"{}", **values):
    defaults = {
        "id": new_id(1),
        "source": "webhook",
        "category": "c:x",
        "conversation": "ch",
        "identity": "",
        "received": 1,
    }
    return Envelope(**{**defaults, "body": body, **values})
