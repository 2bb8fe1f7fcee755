"""Lists: what they look like in a pipe, and in terminals that are wide, narrow, and very narrow."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.text import Text

from receiver import samples
from receiver.cli import rows
from receiver.cli.rows import print_line, print_rows

HEADINGS = ("Name", "Number", "What it is")
LONG = "the second one, of which there is more to say than a line can hold"
ROWS = [
    ("one", "1", "the first one"),
    ("another", "22", LONG),
    ("with-a-long-name", "", Text("two\nlines")),
]


def test_in_a_pipe(capsys, monkeypatch):
    """Each row is a line, under its headings, without anything behind it."""
    monkeypatch.setenv("COLUMNS", "20")
    print_rows(HEADINGS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "Name              Number  What it is",
        "one               1       the first one",
        f"another           22      {LONG}",
        "with-a-long-name          two lines",
    ]


def test_in_a_terminal(terminal):
    """Where the last column doesn't fit, it is wrapped between words, in its place."""
    shown = terminal(70)
    print_rows(HEADINGS, ROWS)
    assert shown.getvalue().splitlines() == [
        "Name              Number  What it is",
        "one               1       the first one",
        "another           22      the second one, of which there is more to",
        "                          say than a line can hold",
        "with-a-long-name          two lines",
    ]


def test_in_a_narrow_terminal(terminal):
    """Where that leaves little, the first column stands alone, and what there is of the others below."""
    shown = terminal(50)
    print_rows(HEADINGS, ROWS)
    assert shown.getvalue().splitlines() == [
        "one",
        "    Number: 1  What it is: the first one",
        "another",
        "    Number: 22  What it is: the second one, of",
        "    which there is more to say than a line can",
        "    hold",
        "with-a-long-name",
        "    What it is: two lines",
    ]


def test_what_is_copied(terminal):
    """Neither the first columns nor a long word is broken by us: the terminal does, and copies it whole."""
    shown = terminal(30)
    print_rows(HEADINGS, [("a" * 40, "b" * 10, f"see {'c' * 40} there")], first=2)
    assert shown.getvalue().splitlines() == [
        f"{'a' * 40}  {'b' * 10}",
        "    What it is: see",
        f"    {'c' * 40}",
        "    there",
    ]


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (40, ["one two three  four five six  seven"]),
        (35, ["one two three  four five six  seven"]),
        (34, ["one two three  four five six", "    seven"]),
        (14, ["one two three", "    four five", "    six  seven"]),
        (5, ["one", "    two", "    three", "    four", "    five", "    six", "    seven"]),
    ],
)
def test_a_line(terminal, columns, lines):
    """A line that doesn't fit goes on below, between words, indented."""
    shown = terminal(columns)
    print_line(Text.assemble(("one", "bold"), " two three  four", (" five six", "dim"), "  seven"))
    assert shown.getvalue().splitlines() == lines


@pytest.mark.parametrize("line", ["x" * 30 + " " * 20, "x" * 60])
def test_nothing_is_left_over(terminal, line):
    """Where only spaces are left of a line, or nothing, there is no other one."""
    shown = terminal(40)
    print_line(Text(line))
    assert shown.getvalue().splitlines() == [line.rstrip()]


def test_nothing_below(terminal):
    """A row that has but its first column is one line."""
    shown = terminal(20)
    print_rows(("A", "B"), [("one", ""), ("two", "b" * 30)])
    assert shown.getvalue().splitlines() == ["one", "two", "    B:", f"    {'b' * 30}"]


def test_nothing_steers_the_terminal(capsys):
    """What may be anybody's text can't move the cursor, nor begin a line, in whatever style it is."""
    steers = "bob\x1b[2J\u202e\nfake"
    seen = r"bob\x1b[2J\u202e fake"
    print_rows(("A", "B"), [(steers, Text(steers))])
    print_line(Text.assemble("of ", (steers, "bold")))
    assert capsys.readouterr().out.splitlines()[1:] == [f"{seen}  {seen}", f"of {seen}"]


def test_styles_stay(monkeypatch):
    """What is made harmless keeps its styles, each where it was."""
    shown = io.StringIO()
    monkeypatch.setattr(rows, "OUT", Console(file=shown, force_terminal=True, color_system="standard"))
    print_line(Text.assemble(("a\x1bb", "bold"), "c"))
    assert shown.getvalue() == "\x1b[1ma\\x1bb\x1b[0mc\n"


def test_wide_characters(terminal):
    """A character that takes two columns counts as two."""
    shown = terminal(39)
    print_rows(("A", "B"), [("\ud55c\uad6d", "x"), ("ab", "\ud55c\uad6d " * 12)])
    assert shown.getvalue().splitlines() == [
        "A     B",
        "\ud55c\uad6d  x",
        "ab    " + " ".join(["\ud55c\uad6d"] * 6),
        "      " + " ".join(["\ud55c\uad6d"] * 6),
    ]


@pytest.mark.parametrize("verb", [("trigger", "--list"), ("handlers",), ("handlers", "show", "helper_bot")])
def test_at_80_columns(run, terminal, monkeypatch, verb):
    """Every name that one copies is there, whole, and no line is longer than the terminal."""
    monkeypatch.setenv("HELPER_BOT_FAQ", "")
    shown = terminal(80)
    assert run(*verb)[0] == 0
    lines = shown.getvalue().splitlines()
    names = {one.category for one in samples.load_all()} if verb[0] == "trigger" else {"helper_bot"}
    assert all(any(name in line.split() for line in lines) for name in names)
    assert [line for line in lines if len(line) > 80 and "/" not in line] == []  # a path stays whole


def test_the_list_is_whole(run):
    """In a pipe each category is one line, with all of its cases."""
    rows = json.loads(run("trigger", "--list", "--json")[1])
    lines = {line.split()[0]: line for line in run("trigger", "--list")[1].splitlines()}
    assert all(lines[row["category"]].endswith(" ".join(row["cases"])) for row in rows)
