from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from receiver import samples
from receiver.events import Envelope, Event, classify, open_event

RECEIVED = 1_754_903_402_500


@pytest.fixture(scope="session")
def envelope_of() -> Callable[..., Envelope]:
    """Makes the envelope that intake would make of a body."""

    def made(data: dict[str, Any], **changes: Any) -> Envelope:
        known = {"id": "e-1", "source": "webhook", "received": RECEIVED, "body": orjson.dumps(data)}
        return Envelope(**(known | classify(data)._asdict() | changes))

    return made


@pytest.fixture
def open_sample(envelope_of) -> Callable[..., Any]:
    """Opens a sample, after changing its payload with `changes` if there are any."""

    def opened(category: str, case: str | None = None, /, **changes: Any) -> Event:
        data = samples.find(category, case=case).payload
        data.update(changes)
        return open_event(envelope_of(data))

    return opened
