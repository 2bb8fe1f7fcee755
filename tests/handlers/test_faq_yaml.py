"""The FAQ as a YAML file: what is read, and what is said of a broken one."""

from __future__ import annotations

import pytest

from handlers.helper_bot.faq import Entry, Faq, FaqError, Option, Step
from handlers.helper_bot.yaml_file import DEEPEST, read_yaml

TREE = """\
- questions: [prices, costs]
  answer: Without tax.
  ask: Which plan?
  options:
    Free: Nothing.
    No:
      ask: Sure?
      options: {Yes: Bye., 1: One.}
"""


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a file with the given content."""
    path = tmp_path / "faq.yaml"

    def read(content: str | bytes):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_yaml(path)

    read.path = path
    return read


def test_texts_are_texts(read):
    """Words that YAML would read as something else stay words."""
    faq = Faq(read("- {questions: [yes, 401], answer: 1.0}\n"))
    assert faq.find("401").step == Step("1.0")


def test_tree(read):
    """A question has options, each an answer or another question."""
    sure = Step("Sure?", (Option("Yes", Step("Bye.")), Option("1", Step("One."))))
    which = Step("Without tax.\n\nWhich plan?", (Option("Free", Step("Nothing.")), Option("No", sure)))
    assert read(TREE) == (Entry(("prices", "costs"), which),)


def test_place(read):
    """An entry knows its file and line."""
    places = [entry.place for entry in read(TREE + "- {questions: [hello], answer: Hi.}\n")]
    assert places == [f"{read.path}, line 1", f"{read.path}, line 9"]


def test_byte_order_mark(read):
    """A mark at the beginning, as some editors leave it, does no harm."""
    assert len(read(b"\xef\xbb\xbf" + TREE.encode())) == 1


ENTRIES = "expected a list of entries like {questions: [how do I deploy], answer: Run receiver serve.}, but "
STEPS = (
    "expected an answer, a question with its options (ask: ..., options: {yes: ..., no: ...}), or both, but "
)


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("", 1, ENTRIES + "this is something else"),
        ("answer: x\n", 1, ENTRIES + "this is something else"),
        ("- questions: [a]\n  answer: x\n- just text\n", 3, ENTRIES + "this is something else"),
        (
            "- questions: [a]\n  answer: x\n\n- questions: [b]\n",
            4,
            ENTRIES + "an entry has the fields questions",
        ),
        ("- answer: x\n", 1, ENTRIES + "an entry has the fields answer"),
        ("- {}\n", 1, ENTRIES + "an entry has the fields none"),
        ("- questions: [a]\n  answr: x\n", 1, ENTRIES + "an entry has the fields questions, answr"),
        ("- answer: x\n  questions: how\n", 2, ENTRIES + "questions is not a list"),
        ("- answer: x\n  questions: []\n", 2, ENTRIES + "questions is not a list"),
        ("- answer: x\n  questions:\n    - a\n    - [b]\n", 4, ENTRIES + "this is not a text"),
        ("- questions: [a]\n  ? [b]\n  : x\n", 2, ENTRIES + "this is not a text"),
        ("- questions: [a]\n  answer: ''\n", 2, STEPS + "this is not a text"),
        ("- questions: [a]\n  answer: {x: y}\n", 2, STEPS + "this is not a text"),
        ("- questions: [a]\n  ask: b?\n", 1, STEPS + "it has the fields ask"),
        ("- questions: [a]\n  options: {b: c}\n", 1, STEPS + "it has the fields options"),
        (
            "- questions: [a]\n  answer: x\n  options: {b: c}\n",
            1,
            STEPS + "it has the fields answer, options",
        ),
        (
            "- questions: [a]\n  ask: b?\n  options: [c]\n",
            3,
            STEPS + "options are no pairs of what is chosen and where it leads",
        ),
        (
            "- questions: [a]\n  ask: b?\n  options: {}\n",
            3,
            STEPS + "options are no pairs of what is chosen and where it leads",
        ),
        ("- questions: [a]\n  ask: b?\n  options:\n    c: [d]\n", 4, STEPS + "this is something else"),
        (
            "- questions: [a]\n  ask: b?\n  options:\n    c: x\n    C: y\n",
            5,
            STEPS + "the option 'C' stands twice",
        ),
        (
            "- questions: [a]\n  ask: b?\n  options:\n    c:\n      questions: [d]\n      answer: e\n",
            5,
            STEPS + "it has the fields questions, answer",
        ),
        ("- questions: [a]\n  ask: b?\n  options:\n    c: {}\n", 4, STEPS + "it has the fields none"),
        (
            "- &a\n  questions: [a]\n  ask: b?\n  options: &o\n    c: {ask: d, options: *o}\n",
            4,
            f"{STEPS}there are more than {DEEPEST} questions in a row",
        ),
        ("- questions: [a\n  answer: x\n", 2, "this is not YAML (expected ',' or ']', but got ':')"),
        ("- questions: [a]\n  answer: *nobody\n", 2, "this is not YAML (found undefined alias 'nobody')"),
    ],
)
def test_broken(read, content, line, said):
    """A broken file is refused, naming the file, the line and what is expected."""
    with pytest.raises(FaqError) as caught:
        read(content)
    assert str(caught.value) == f"{read.path}, line {line}: {said}"


def test_missing(tmp_path):
    """A missing file is named, with the setting that names it."""
    with pytest.raises(FaqError, match=r"none.yaml: No such file or directory. HELPER_BOT_FAQ names it"):
        read_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize("content", [b"- \xff\xfe", b"- \x00"])
def test_no_text(read, content):
    """A file that isn't text is refused."""
    with pytest.raises(FaqError, match="this is not"):
        read(content)
