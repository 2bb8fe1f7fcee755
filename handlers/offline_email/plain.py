"""Plain text in lines that can be read: wrapped by how wide they look, not by how many letters they have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

WIDTH = 72
"""Columns; most programs quote with two more."""

_SPACES = re.compile(r"[ \t\f\v]+")  # those at which a line may break: none within "4:28 PM"


def wrap(text: str, indent: str = "", width: int = WIDTH) -> str:
    """Wrap each line of a text. What has no space (a link) stays whole, unless it is in a wide script."""
    return "\n".join(
        indent + row if row else "" for line in text.split("\n") for row in _rows(line, width - len(indent))
    )


def columns(text: str) -> int:
    """Return how many columns a text takes: two for each wide character, none for accents and the like."""
    return sum(
        2 if unicodedata.east_asian_width(one) in "WF" else 0 if unicodedata.combining(one) else 1
        for one in text
    )


def _rows(line: str, width: int) -> Iterator[str]:
    row, used = "", 0
    for word in _words(line, width):
        size = columns(word)
        if row and used + 1 + size > width:
            yield row
            row, used = word, size
        else:
            row, used = (f"{row} {word}", used + 1 + size) if row else (word, size)
    yield row


def _words(line: str, width: int) -> Iterator[str]:
    """Give the words of a line; one that is too long is cut where each character is a word by itself."""
    for word in _SPACES.split(line.strip(" \t")):
        rest = word
        while columns(rest) > width and (cut := _cut(rest, width)):
            yield rest[:cut]
            rest = rest[cut:]
        yield rest


def _cut(word: str, width: int) -> int:
    """Return after how many characters a word can be cut so that it fits; 0 if it can't."""
    used = last = 0
    for place, one in enumerate(word):
        used += columns(one)
        if used > width:
            return last
        if unicodedata.east_asian_width(one) in "WF":
            last = place + 1
    return 0
