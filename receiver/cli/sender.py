"""The application that a made-up request comes from: the first one of the settings."""

from __future__ import annotations

from receiver.cli import beside
from receiver.cli.changes import Change
from receiver.origins import applications
from receiver.samples import Sample


def changes(sample: Sample) -> list[Change]:
    """Return the changes that make `sample` an event of the first application, where others are refused."""
    known = applications(beside.load())
    if len(known) > 1 and known[0].id and "app_id" in sample.payload:
        return [("app_id", known[0].id)]
    return []


def token() -> str:
    """Return the token that signs for it, or "" if there is none."""
    known = applications(beside.load())
    return known[0].token if known else ""
