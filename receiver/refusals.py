"""Where refused requests come from: a bounded count by network, and a log line a minute."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from receiver.ip_addresses import network
from receiver.seldom import EVERY, Seldom

NETWORKS = 256
"""Networks that are counted at once."""
SHOWN = 20
"""Networks that are named."""
WORTH_NAMING = 60
"""Refusals a minute. A network with fewer is not named: names are as many as an attacker has addresses."""


class Refusals:
    """Counts what is refused: by reason, and by network the heaviest of the last minute.

    The networks are counted as Misra and Gries do: when the table is full, one more network takes one from
    each. So a network that sends more than its share of a minute is in the table however many others there
    are, and no count is too high.
    """

    def __init__(self) -> None:
        self.unread: Counter[str] = Counter()
        """What was refused before it was a request, by reason."""
        self._counts: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._since = time.monotonic()
        self._seldom = Seldom()

    def note(self, client: str | None) -> None:
        """Count a refused request of a client's address."""
        self._turn()
        name, counts = network(client or ""), self._counts
        if name in counts or len(counts) < NETWORKS:
            counts[name] = counts.get(name, 0) + 1
        else:
            self._counts = {one: count - 1 for one, count in counts.items() if count > 1}

    def tell(self, log: Any, reason: str, client: str | None, **more: Any) -> None:
        """Say once a minute, for each `reason`, that requests are refused. `more` is no stranger's text."""
        if times := self._seldom(f"{more.get('path', '')} {reason}"):
            heaviest = [f"{name}: {count}" for name, count in self.heaviest()[:3]]
            if heaviest:
                more["heaviest"] = heaviest
            log.warning("requests are refused", code=reason, times=times, client=client, **more)

    def heaviest(self) -> list[tuple[str, int]]:
        """Return the networks that were refused the most in the last whole minute, and how often."""
        self._turn()
        ranked = sorted(self._last.items(), key=lambda one: -one[1])[:SHOWN]
        return [(name, count) for name, count in ranked if count >= WORTH_NAMING]

    def _turn(self) -> None:
        now = time.monotonic()
        past = now - self._since
        if past >= EVERY:
            self._last = self._counts if past < 2 * EVERY else {}
            self._counts, self._since = {}, now
