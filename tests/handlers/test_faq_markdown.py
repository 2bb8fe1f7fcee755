"""The FAQ as a folder of Markdown files: what is read, and what is said of a broken one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.helper_bot.faq import Entry, FaqError, Option, Step
from handlers.helper_bot.markdown_folder import files_of, read_markdown
from handlers.helper_bot.plain_text import plain


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a folder with one file of the given content."""

    def read(content: str | bytes):
        read.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        [entry] = read_markdown(tmp_path)
        return entry

    read.path = tmp_path / "one.md"
    return read


def test_heading(read):
    """The heading is the question, what stands below it the answer."""
    entry = read("# How do I deploy?\n\nRun it.\n")
    assert entry == Entry(("How do I deploy?",), Step("Run it."))
    assert entry.place == f"{read.path}, line 1"


@pytest.mark.parametrize("title", ["# x", "#  x  ", "# x #", "# x ###  ", "  # x"])
def test_forms_of_headings(read, title):
    """A heading may be written as Markdown allows."""
    assert read(f"{title}\nyes\n").questions == ("x",)


def test_also_asked(read):
    """Other ways to ask are listed below "Also asked", wherever that stands."""
    lists = "## Also Asked\n\n- b?\n* c\n  + d\n\n"
    assert read(f"# a\n\nyes\n\n{lists}").questions == ("a", "b?", "c", "d")
    entry = read(f"# a\n\nyes\n\n{lists}## More\n\ntext\n")
    assert entry == Entry(("a", "b?", "c", "d"), Step("yes\n\nMore\ntext"))


def test_front_matter(read):
    """Questions may stand in the front matter, beside what other tools want there."""
    matter = "---\ntitle: T\nquestions:\n  - b\n  - 401\n---\n"
    assert read(f"{matter}\n# a\n\nyes\n") == Entry(("a", "b", "401"), Step("yes"))
    assert read(f"{matter}yes\n") == Entry(("b", "401"), Step("yes"))
    assert read("---\ntitle: T\n---\n# a\nyes\n").questions == ("a",)
    assert read("---\n---\n# a\nyes\n").questions == ("a",)


def test_rule_in_the_text(read):
    """Three dashes elsewhere are no front matter."""
    assert read("# a\n\nyes\n\n---\n\nno\n").step == Step("yes\n\n---\n\nno")


def test_options(read):
    """Below a text that ends with a question mark, the headings within are its options."""
    entry = read(
        "# Prices\nNo tax.\n\nWhich plan?\n\n## Free\nNothing.\n\n## Team\nHow?\n### Monthly\n10\n"
        "### Yearly\n100\n\n## Also asked\n- costs\n"
    )
    how = Step("How?", (Option("Monthly", Step("10")), Option("Yearly", Step("100"))))
    which = Step("No tax.\n\nWhich plan?", (Option("Free", Step("Nothing.")), Option("Team", how)))
    assert entry == Entry(("Prices", "costs"), which)


def test_sections_of_an_answer(read):
    """Below a text that doesn't end with one, they are part of the answer."""
    entry = read("# Deploy?\nLike this.\n\n## First\nDo a.\n\n#### Detail\nb\n\n## Then\nDo c?\n")
    assert entry.step == Step("Like this.\n\nFirst\nDo a.\n\nDetail\nb\n\nThen\nDo c?")


def test_only_sections(read):
    """An answer may consist of sections alone."""
    assert read("# Deploy?\n## First\nDo a.\n").step == Step("First\nDo a.")


def test_question_as_an_answer(read):
    """A question mark at the end of all asks for nothing."""
    assert read("# a\nWho knows?\n").step == Step("Who knows?")


@pytest.mark.parametrize("fence", ["```", "~~~~", "```sh"])
def test_code(read, fence):
    """A comment in code is no heading."""
    mark = fence.removesuffix("sh")
    step = read(f"# a\nDo this?\n\n{fence}\n# no heading\n  ls\n\n{mark}\n").step
    assert step == Step("Do this?\n\n# no heading\n  ls")


def test_line_ends(read):
    """Files of other systems are read alike."""
    assert read(b"\xef\xbb\xbf# a\r\n\r\nyes\r\nsir\r\n") == Entry(("a",), Step("yes sir"))


def test_folder(tmp_path):
    """Every *.md is read, in subfolders too, but README.md and what is hidden or set apart."""
    for name in (
        "b.md",
        "a.md",
        "sub/c.md",
        "README.md",
        "sub/readme.md",
        "_draft.md",
        ".x.md",
        "_d/e.md",
        "f.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# {name}\nyes\n")
    assert [path.relative_to(tmp_path).as_posix() for path in files_of(tmp_path)] == [
        "a.md",
        "b.md",
        "sub/c.md",
    ]
    assert [entry.questions for entry in read_markdown(tmp_path)] == [("a.md",), ("b.md",), ("sub/c.md",)]


def test_empty_folder(tmp_path):
    """A folder without such files is refused."""
    with pytest.raises(FaqError) as caught:
        read_markdown(tmp_path)
    expected = "expected '# ' and a question, then the answer"
    assert str(caught.value) == f"{tmp_path}: there is no *.md file in it; {expected} in each"


QUESTION = "expected '# ' and a question, then the answer, but "
MATTER = "expected front matter like 'questions: [how do I deploy, deployment]' between two lines ---, but "
ALSO = "expected a list of questions below '## Also asked', and the answer above it, but "
ANSWER = "expected an answer below the heading, but there is nothing below it"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("", 1, QUESTION + "there is no such heading"),
        ("just text\n", 1, QUESTION + "there is no such heading"),
        ("## a\n\nb\n", 1, QUESTION + "there is no such heading"),
        ("text\n# a\nb\n", 2, QUESTION + "there is text before the question"),
        ("---\nquestions: [b]\n---\ntext\n# a\nb\n", 5, QUESTION + "there is text before the question"),
        ("# a\n", 1, ANSWER),
        ("\n\n# a\n\n## Also asked\n- b\n", 3, ANSWER),
        ("---\nquestions: [b]\n---\n", 4, ANSWER),
        ("# a\nb?\n## c\n", 3, ANSWER),
        ("# a\nb\n\n# c\nd\n", 4, "expected one to a file, but this is another heading with one #"),
        ("# a\nb\n## \nd\n", 3, "expected a heading with words, but it is empty"),
        (
            "# a\nb?\n## c\nd\n## C\ne\n",
            5,
            "expected an option of the question above, with 2 #, but 'C' stands twice",
        ),
        ("# a\nb?\n### c\nd\n", 3, "expected an option of the question above, with 2 #, but there are 3"),
        ("# a\nb\n## Also asked\n\nc\n", 5, ALSO + "this is something else"),
        ("# a\nb\n## Also asked\n- c\n### d\n", 5, ALSO + "this is a heading"),
        ("# a\nb\n## Also asked\n", 3, ALSO + "it is empty"),
        ("---\nquestions: [b]\n", 1, MATTER + "it has no end"),
        ("---\nx: y\nquestions: b\n---\n# a\nb\n", 3, MATTER + "questions is not a list"),
        ("---\nquestions:\n  - b\n  - [c]\n---\n# a\nb\n", 4, MATTER + "this is not a text"),
        ("---\nx: [\n---\n# a\nb\n", 2, MATTER + "this is not YAML"),
        ("---\n\n- x\n---\n# a\nb\n", 3, MATTER + "this is something else"),
    ],
)
def test_broken(read, content, line, said):
    """A broken file is refused, naming the file, the line and what is expected."""
    with pytest.raises(FaqError) as caught:
        read(content)
    assert str(caught.value) == f"{read.path}, line {line}: {said}"


def test_no_text(read):
    """A file that isn't text is refused."""
    with pytest.raises(FaqError, match=r"one\.md: this is not UTF-8 text"):
        read(b"# \xff")


def test_unreadable(read):
    """What can't be read is named."""
    read.path.mkdir()
    with pytest.raises(FaqError, match=r"one\.md: Is a directory"):
        read_markdown(read.path.parent)


@given(content=st.text(st.sampled_from("#-`~ abc?:[]\n")))
def test_any_file(tmp_path_factory, content):
    """Whatever a file holds, it gives an entry or an error with a line."""
    folder = tmp_path_factory.mktemp("faq")
    (folder / "x.md").write_text(content)
    try:
        [entry] = read_markdown(folder)
    except FaqError as error:
        said = str(error)
    else:
        assert entry.step.text
        assert all(entry.questions)
        return
    assert f"{folder / 'x.md'}, line " in said


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["a", "b", "", "c"], "a b\n\nc"),
        (["- a", "  b", "- c", "1. d", "e"], "- a b\n- c\n1. d e"),
        (["a  ", "b\\", "c"], "a\nb\nc"),
        (["> a", "| b | c |", "    code", "\tcode"], "> a\n| b | c |\n    code\n\tcode"),
        (["a", "```", "b", "c", "```", "d", "e"], "a\nb\nc\nd e"),
        (["```", "~~~", "```"], "~~~"),
        (["", "", "a", "", "", "", "b", ""], "a\n\nb"),
        ([], ""),
    ],
)
def test_plain(lines, text):
    """A paragraph and a list's item come on one line; lists, quotes and code stay as they are."""
    assert plain(lines) == text
