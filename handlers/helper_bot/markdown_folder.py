"""A FAQ as a folder of Markdown files, one question each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from handlers.helper_bot.faq import Entry, FaqError, Option, Step
from handlers.helper_bot.plain_text import plain

_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"\s*[-*+]\s+(.*\S)\s*")
_ALSO = "also asked"
_EXPECTED = "expected '# ' and a question, then the answer"


@dataclass(slots=True)
class Section:
    """A heading, the lines below it, and the sections within."""

    level: int
    title: str
    line: int
    lines: list[tuple[int, str]] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What stands right below the heading."""
        return plain(line for _, line in self.lines)

    @property
    def whole(self) -> str:
        """What stands below the heading, with the sections within."""
        parts = [self.text, *(f"{one.title}\n{one.whole}".strip() for one in self.sections)]
        return "\n\n".join(part for part in parts if part)


def files_of(folder: Path) -> list[Path]:
    """Return the files that are read: every *.md, but README.md and what begins with "_" or "."."""
    return [
        path
        for path in sorted(folder.rglob("*.md"))
        if path.name.lower() != "readme.md"
        and not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
    ]


def read_markdown(folder: Path) -> tuple[Entry, ...]:
    """Read a folder of Markdown files.

    Raises:
        FaqError: there are none, or one is broken.
    """
    paths = files_of(folder)
    if not paths:
        raise FaqError(f"{folder}: there is no *.md file in it; {_EXPECTED} in each")
    return tuple(_entry(path) for path in paths)


def _entry(path: Path) -> Entry:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise FaqError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FaqError(f"{path}: this is not UTF-8 text") from error
    also, begin = _front_matter(path, lines)
    root = _outline(path, lines, begin)
    questions = [*([root.title] if root.title else []), *also]
    for section in [one for one in root.sections if one.level == 2 and one.title.lower() == _ALSO]:
        root.sections.remove(section)
        questions += _also_asked(path, section)
    if not questions:
        raise _broken(path, begin + 1, "there is no such heading", _EXPECTED)
    return Entry(tuple(questions), _step(path, root), f"{path}, line {root.line}")


def _front_matter(path: Path, lines: list[str]) -> tuple[list[str], int]:
    """Return the questions of the front matter, and how many lines it takes."""
    if not lines or lines[0].rstrip() != "---":
        return [], 0
    expected = "expected front matter like 'questions: [how do I deploy, deployment]' between two lines ---"
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), 0)
    if not end:
        raise _broken(path, 1, "it has no end", expected)
    try:
        root = yaml.compose("\n".join(lines[1:end]), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _broken(path, mark.line + 2 if mark else 1, "this is not YAML", expected) from error
    if root is None:
        return [], end + 1
    if not isinstance(root, yaml.MappingNode):
        raise _broken(path, root.start_mark.line + 2, "this is something else", expected)
    found = next((value for key, value in root.value if key.value == "questions"), None)
    if found is None:
        return [], end + 1
    if not isinstance(found, yaml.SequenceNode):
        raise _broken(path, found.start_mark.line + 2, "questions is not a list", expected)
    for node in found.value:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise _broken(path, node.start_mark.line + 2, "this is not a text", expected)
    return [str(node.value).strip() for node in found.value], end + 1


def _outline(path: Path, lines: list[str], begin: int) -> Section:
    """Return the file's one section of the first level. It has no title if the file has no heading."""
    root = Section(1, "", begin + 1)
    open_sections = [root]
    for number, line, heading in _headings(lines, begin):
        if heading is None:
            open_sections[-1].lines.append((number, line))
            continue
        level, title = len(heading[1]), heading[2]
        if not title:
            raise _broken(path, number, "it is empty", "expected a heading with words")
        if level == 1:
            if root.title or root.sections:
                raise _broken(path, number, "this is another heading with one #", "expected one to a file")
            if root.text:
                raise _broken(path, number, "there is text before the question", _EXPECTED)
            root.title, root.line, root.lines = title, number, []
            continue
        while open_sections[-1].level >= level:
            open_sections.pop()
        section = Section(level, title, number)
        open_sections[-1].sections.append(section)
        open_sections.append(section)
    return root


def _headings(lines: list[str], begin: int) -> Iterator[tuple[int, str, re.Match[str] | None]]:
    """Give each line with its number, and as a heading if it is one. Code holds none."""
    fence = ""
    for number, line in enumerate(lines[begin:], begin + 1):
        mark = _FENCE.match(line)
        if fence:
            closes = mark and mark[1].startswith(fence) and not line.strip(f" {fence[0]}")
            fence = "" if closes else fence
        elif mark:
            fence = mark[1]
        else:
            yield number, line, _HEADING.fullmatch(line)
            continue
        yield number, line, None


def _also_asked(path: Path, section: Section) -> list[str]:
    expected = f"expected a list of questions below '## {section.title}', and the answer above it"
    if section.sections:
        raise _broken(path, section.sections[0].line, "this is a heading", expected)
    found = []
    for number, line in section.lines:
        item = _ITEM.fullmatch(line)
        if item:
            found.append(item[1])
        elif line.strip():
            raise _broken(path, number, "this is something else", expected)
    if not found:
        raise _broken(path, section.line, "it is empty", expected)
    return found


def _step(path: Path, section: Section) -> Step:
    """Return what a section says. If it ends in a question, the sections within are the options."""
    if not section.whole:
        raise _broken(path, section.line, "there is nothing below it", "expected an answer below the heading")
    if not section.sections or not section.text.endswith("?"):
        return Step(section.whole)
    options: dict[str, Option] = {}
    for one in section.sections:
        expected = f"expected an option of the question above, with {section.level + 1} #"
        if one.level != section.level + 1:
            raise _broken(path, one.line, f"there are {one.level}", expected)
        if one.title.casefold() in options:
            raise _broken(path, one.line, f"{one.title!r} stands twice", expected)
        options[one.title.casefold()] = Option(one.title, _step(path, one))
    return Step(section.text, tuple(options.values()))


def _broken(path: Path, line: int, what: str, expected: str) -> FaqError:
    return FaqError(f"{path}, line {line}: {expected}, but {what}")
