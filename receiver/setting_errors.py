"""What is said of a value that a setting can't have: what was expected, and what came, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Any, Final

from pydantic_core import ErrorDetails

from receiver import redaction

LONGEST: Final = 50
"""Characters of a value that is quoted."""
OURS: Final = "value_error"
"""What a check of ours has raised: its message says all."""

_KINDS: Final[Mapping[type, str]] = {
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
    date: "a date",
    time: "a time",
}
_EXPECTED: Final = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "string_type": "text",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "a length of at least {min_length}",
    "too_long": "a length of at most {max_length}",
    "path_type": "text",
    "tuple_type": "a list, or text with commas between its parts",
    "list_type": "a list",
    "dict_type": "a table of names and values, or text such as this",
    "byte_size": "a number of bytes, or one with a unit such as kB, KiB or MiB",
    "byte_size_unit": "a number of bytes, or one with a unit such as kB, KiB or MiB",
}
"""By pydantic's names for what can be wrong. What isn't here keeps pydantic's own words."""


def said_of(problem: ErrorDetails, *, is_secret: bool) -> str:
    """Return what is wrong, without the setting's name; the value of a secret is not quoted."""
    return redaction.clean(_said(problem, is_secret))


def _said(problem: ErrorDetails, is_secret: bool) -> str:
    own = problem["msg"].removeprefix("Value error, ").removesuffix(".")
    if problem["type"] == OURS:
        return own
    expected = _EXPECTED.get(problem["type"])
    if expected is None:
        return own.replace("Input should be ", "expected ", 1)
    limits = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in problem.get("ctx", {}).items()
    }
    wanted = expected.format_map(limits)
    return f"{_at(problem['loc'][1:])}expected {wanted}, got {_shown(problem['input'], is_secret=is_secret)}"


def _at(place: tuple[int | str, ...]) -> str:
    """Return where in a list, whose first place is 1, or in a table it is."""
    names = [str(one + 1 if isinstance(one, int) else one) for one in place]
    return f"at {'.'.join(names)}: " if names else ""


def _shown(value: Any, *, is_secret: bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not is_secret:
        return f"{value:g}"
    if is_secret or not isinstance(value, str | int):
        return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "something else")
    shown = redaction.clean(str(value) if isinstance(value, int) else repr(value))  # before it is cut
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
