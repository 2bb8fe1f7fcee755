"""The changes that `receiver trigger --set` makes to a sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import orjson

from receiver import samples
from receiver.samples import NoSuchPlace

Change = tuple[str, Any]

_CLOSE = 0.8  # "mesage" is 0.92 like "message"; "data" is 0.75 like "date"


def parse(text: str) -> Change:
    """Read PATH=VALUE. The value is read as JSON if it is some, else as text.

    Raises:
        ValueError: it is something else.
    """
    path, equals, value = text.partition("=")
    if not (equals and path.strip(".")):
        raise ValueError(f"expected PATH=VALUE, such as payload.message=hello, got {text!r}.")
    try:
        return path, orjson.loads(value)
    except orjson.JSONDecodeError:
        return path, value


def check(payload: dict[str, Any], changes: Iterable[Change]) -> list[str]:
    """Try `changes` on `payload`, and return a warning for each new key that looks like a slip.

    Raises:
        NoSuchPlace: a path leads nowhere, or has an index where there is no list.
    """
    warnings: list[str] = []
    for path, value in changes:
        warnings += _doubts(payload, path)
        samples.assign(payload, path, value)
    return warnings


def _doubts(payload: dict[str, Any], path: str) -> Iterator[str]:
    place: Any = payload
    steps = path.split(".")
    for number, step in enumerate(steps):
        if not isinstance(place, dict):
            place = place[int(step)] if isinstance(place, list) and _is_index(step, place) else None
        elif step in place:
            place = place[step]
        else:
            before = ".".join(steps[:number])
            if step.isdecimal():
                raise NoSuchPlace(f"{path}: there is no list for {step!r}: {_shown(before, place)}.")
            close = get_close_matches(step, place, n=1, cutoff=_CLOSE)
            if close:
                meant = ".".join([*steps[:number], close[0], *steps[number + 1 :]])
                yield f"{path} is new here: did you mean {meant}?"
            following = steps[number + 1 : number + 2]
            place = [] if following == ["0"] else {}  # a first entry begins a list that isn't there yet
        if place is None:
            return  # samples.assign says why


def _is_index(step: str, place: list[Any]) -> bool:
    return step.isdecimal() and int(step) < len(place)


def _shown(where: str, place: dict[str, Any]) -> str:
    what = f"an object with {', '.join(place)}" if place else "nothing"
    return f"{where or 'the top'} is {what}"
