"""Whether an event loop stands still."""

from __future__ import annotations

import os

from receiver.pipeline import pulse
from receiver.pipeline.pulse import Pulse, Stillness


def test_stillness_counts_only_what_was_seen(monkeypatch):
    """Who was frozen itself takes nobody for dead; a beat begins anew."""
    now = [100.0]
    monkeypatch.setattr(pulse.time, "monotonic", lambda: now[0])
    heart = Pulse()
    stillness = Stillness(heart)
    for step, seconds in ((1, 1), (1, 2), (600, 4)):
        now[0] += step
        assert stillness.look() == seconds
    heart.beat()
    now[0] += 1
    assert stillness.look() == 0


def test_a_pulse_is_shared_with_a_fork():
    """What a child beats, its parent sees."""
    heart = Pulse()
    child = os.fork()
    if not child:
        heart.beat()
        os._exit(0)
    os.waitpid(child, 0)
    assert heart.beats == 1
