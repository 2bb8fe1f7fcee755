"""`receiver dev`: what it shows. (What it does is walked in test_road.py.)"""

from __future__ import annotations

import time

from receiver import settings
from receiver.cli import dev


def test_shows_no_password(clean, capsys, monkeypatch):
    """The table of where everything is shows a Redis without its password."""
    monkeypatch.setenv("COLUMNS", "200")
    plan = dev.Plan(settings.load(), {}, "redis://user:hush@localhost:6379/0", 1, 2, 1)
    dev._show(plan, time.monotonic())
    shown = capsys.readouterr().err
    assert "redis://user:***@localhost:6379/0" in shown
    assert "hush" not in shown
