"""Times that are set, are no mistakes that could be refused, and are hardly what anybody wants."""

from __future__ import annotations

from collections.abc import Iterator

from receiver.settings import Settings

SHORT = 60.0
"""Seconds under which it is said what a time means."""


def warnings(config: Settings) -> Iterator[tuple[str, str]]:
    """Give settings that are short, by name, and what that means."""
    if config.retention < SHORT:
        meaning = f"finished events go after {config.retention:g} s: nobody can look at them, or replay them"
        yield "RECEIVER_RETENTION", meaning
    if config.dedupe_window < SHORT:
        meaning = f"a request that is repeated after {config.dedupe_window:g} s runs the handlers again"
        yield "RECEIVER_DEDUPE_WINDOW", meaning
