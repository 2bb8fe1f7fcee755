"""The time on a stage: it stands still until it is turned."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from receiver.events.fields import EPOCH


class Clock:
    """The time by which a stage's events are received, batches close and failed attempts run again.

    It begins at the time of day, or `at` (an aware datetime). Handlers' time limits, and what they read
    from `datetime.now()`, are not in its power.
    """

    def __init__(self, at: datetime | None = None) -> None:
        if at is not None and at.tzinfo is None:
            raise ValueError(
                f"Clock({at}): expected an aware datetime, such as datetime(2026, 1, 1, tzinfo=UTC)"
            )
        now = time.time_ns() // 1_000_000 if at is None else (at - EPOCH) // timedelta(milliseconds=1)
        self.milliseconds = now
        """The time in milliseconds since the epoch."""

    @property
    def now(self) -> datetime:
        """The time (UTC)."""
        return EPOCH.astimezone(UTC) + timedelta(milliseconds=self.milliseconds)

    def turn_to(self, milliseconds: int) -> None:
        """Make it `milliseconds` since the epoch; never earlier than it is."""
        self.milliseconds = max(self.milliseconds, milliseconds)
