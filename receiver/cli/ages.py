"""Times as options give them: an age such as 12h, or a moment in ISO form."""

from __future__ import annotations

import re
from datetime import datetime

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def age(text: str, option: str) -> float:
    """Return an age in milliseconds.

    Raises:
        BadParameter: it is none.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        expected = "expected a number with s, m, h or d behind it, such as 12h"
        raise typer.BadParameter(f"{text!r} is no age: {expected}", param_hint=option)
    return float(match[1]) * _UNITS[match[2]] * 1000


def moment(text: str, option: str, now: float) -> float:
    """Return the moment that `text` names, in milliseconds since the epoch: an age before `now`, or ISO.

    A time without a zone is the machine's.

    Raises:
        BadParameter: it is neither.
    """
    if _AGE.fullmatch(text.strip()):
        return now - age(text, option)
    try:
        return datetime.fromisoformat(text.strip()).timestamp() * 1000
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: expected an age such as 2h, or a time such as 2026-01-31T12:00:00Z",
            param_hint=option,
        ) from None
