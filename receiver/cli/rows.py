"""Rows of a list, as they fit: what one copies from them is never cut, and no word is broken.

In a pipe, which is as wide as need be (`output.py`), each row is a line. In a terminal that is too narrow
for that, the last column is wrapped; and where that leaves it too little, each row is its first columns,
with the others below them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from receiver.cli.output import OUT, harmless

GAP = 2
NARROW = 30
"""Columns of a terminal that the last column needs, if it is wrapped."""
INDENT = 4

Row = Sequence[str | Text]


def print_rows(headings: Sequence[str], rows: Iterable[Row], *, first: int = 1) -> None:
    """Print rows under their headings; where they don't fit, `first` columns of each are its first line."""
    table = [[_cell(one) for one in row] for row in rows]
    titles = [Text(one, "bold") for one in headings]
    widths = [max(cell.cell_len for cell in column) for column in zip(titles, *table, strict=True)]
    before = sum(widths[:-1]) + GAP * (len(widths) - 1)
    room = OUT.width - before
    if room < min(NARROW, widths[-1]):
        for row in table:
            _print_below(headings, row, first)
        return
    for row in [titles, *table]:
        *cells, last = row
        begun = Text(end="")
        for cell, width in zip(cells, widths, strict=False):
            begun.append(cell).append(" " * (width - cell.cell_len + GAP))
        for number, piece in enumerate(_wrapped(last, room)):
            line = Text.assemble(" " * before if number else begun, piece)
            line.rstrip()
            _print(line)


def print_line(line: Text) -> None:
    """Print a line; what of it doesn't fit stands below, indented."""
    line = _cell(line)
    if line.cell_len <= OUT.width:
        _print(line)
        return
    first, *_ = _wrapped(line, OUT.width)
    _print(first)
    rest = line[len(first) :]
    _print_indented(rest[len(rest.plain) - len(rest.plain.lstrip()) :])


def _print_below(headings: Sequence[str], row: list[Text], first: int) -> None:
    _print(Text(" " * GAP).join([Text.assemble((row[0].plain, "bold")), *row[1:first]]))
    rest = Text()
    for heading, cell in zip(headings[first:], row[first:], strict=True):
        if cell:
            rest.append(" " * GAP if rest else "").append(f"{heading}: ", "dim").append(cell)
    _print_indented(rest)


def _print_indented(text: Text) -> None:
    for piece in _wrapped(text, OUT.width - INDENT) if text else ():
        _print(Text.assemble(" " * INDENT, piece))


def _wrapped(text: Text, width: int) -> Sequence[Text]:
    """Wrap between words; one that is too long stays whole, and the terminal breaks it."""
    if text.cell_len <= width:
        return [text]
    breaks, used = [], 0
    for word in re.finditer(r"\S+\s*", text.plain):
        if used and used + cell_len(word[0].rstrip()) > width:
            breaks.append(word.start())
            used = 0
        used += cell_len(word[0])
    lines = text.divide(breaks)
    for line in lines:
        line.rstrip()
    return list(lines)


def _cell(one: str | Text) -> Text:
    """Return a text as one line, and so that nothing of it steers the terminal."""
    text = _harmless(one) if isinstance(one, Text) else Text(harmless(one))
    return Text(" ").join(text.split("\n", allow_blank=False)) if "\n" in text.plain else text


def _harmless(text: Text) -> Text:
    """Return a text as `harmless` does, with its styles."""
    if harmless(text.plain) == text.plain:
        return text
    edges = sorted({edge for span in text.spans for edge in (span.start, span.end)})
    pieces = []
    for part in text.divide(edges):  # each in one style
        pieces.append(piece := Text(harmless(part.plain), part.style))
        for span in part.spans:
            piece.stylize(span.style)
    return Text().join(pieces)


def _print(line: Text) -> None:
    OUT.print(line, soft_wrap=True, highlight=False)
