"""What to do about a promise that the contract finds broken."""

from __future__ import annotations

import warnings

SURVIVE = (
    "Every field can be empty, or of another type than usual: read events by their typed fields, and check "
    "for None (event.sender of an admin message). Errors that are meant are ReceiverErrors: Permanent, ..."
)
WELL = (
    "Such a handler keeps every other promise, and shows nothing. If it needs users, channels or settings, "
    "set the scene (`prepare`, `settings`, `environment`); if it is meant to end so, say why: "
    'skip = {"ends_well/<handler>": "..."}.'
)
ONCE = (
    'Guard it: `async with context.once("name") as first: if first: ...`, or give the message a `dedup_id`; '
    "replies of bots and mails have one."
)
RETRY = "Let a failing call's error pass: then there is another attempt. Only Permanent errors end it."
SWALLOWED = (
    "An error that the handler catches is an effect that is lost: let it pass, then it is tried again."
)


def warn_of_more(case: str, most: int, what: str) -> None:
    """Tell that not every point of a case was tried."""
    warnings.warn(
        f"{case}: there are more than {most} {what}; what comes of those beyond was not tried", stacklevel=3
    )
