"""A FAQ as a YAML file."""

from __future__ import annotations

from pathlib import Path

import yaml

from handlers.helper_bot.faq import Entry, FaqError, Option, Step

DEEPEST = 10
"""Questions in a row."""

_EXPECTED = "expected a list of entries like {questions: [how do I deploy], answer: Run receiver serve.}"
_STEP = "expected an answer, a question with its options (ask: ..., options: {yes: ..., no: ...}), or both"


def read_yaml(path: Path) -> tuple[Entry, ...]:
    """Read a FAQ file.

    Raises:
        FaqError: the file is missing or broken.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise FaqError(f"{path}: {error.strerror}. HELPER_BOT_FAQ names it; {_EXPECTED}") from error
    except UnicodeDecodeError as error:
        raise FaqError(f"{path}: this is not UTF-8 text; {_EXPECTED}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise FaqError(f"{path}{line}: this is not YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(root, yaml.SequenceNode):
        raise _broken(path, root, "this is something else")
    return tuple(_entry(path, node) for node in root.value)


def _entry(path: Path, node: yaml.Node) -> Entry:
    fields = _fields(path, node, _EXPECTED)
    if not {"questions"} < fields.keys() <= {"questions", "answer", "ask", "options"}:
        raise _broken(path, node, f"an entry has the fields {', '.join(fields) or 'none'}")
    questions = fields["questions"]
    if not isinstance(questions, yaml.SequenceNode) or not questions.value:
        raise _broken(path, questions, "questions is not a list")
    asked = tuple(_text(path, question, _EXPECTED) for question in questions.value)
    return Entry(asked, _step(path, node, 1), f"{path}, line {node.start_mark.line + 1}")


def _step(path: Path, node: yaml.Node, depth: int) -> Step:
    """Read an answer, or a question and its options."""
    if isinstance(node, yaml.ScalarNode):
        return Step(_text(path, node, _STEP))
    fields = _fields(path, node, _STEP)
    if depth == 1:
        del fields["questions"]
    known = fields.keys() <= {"answer", "ask", "options"}
    if not known or not {"answer", "ask"} & fields.keys() or ("ask" in fields) is not ("options" in fields):
        raise _broken(path, node, f"it has the fields {', '.join(fields) or 'none'}", _STEP)
    said = [_text(path, fields[name], _STEP) for name in ("answer", "ask") if name in fields]
    options = _options(path, fields["options"], depth) if "options" in fields else ()
    return Step("\n\n".join(said), options)


def _options(path: Path, node: yaml.Node, depth: int) -> tuple[Option, ...]:
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise _broken(path, node, "options are no pairs of what is chosen and where it leads", _STEP)
    if depth > DEEPEST:
        raise _broken(path, node, f"there are more than {DEEPEST} questions in a row", _STEP)
    options: dict[str, Option] = {}
    for key, value in node.value:
        words = _text(path, key, _STEP)
        if words.casefold() in options:
            raise _broken(path, key, f"the option {words!r} stands twice", _STEP)
        options[words.casefold()] = Option(words, _step(path, value, depth + 1))
    return tuple(options.values())


def _fields(path: Path, node: yaml.Node, expected: str) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise _broken(path, node, "this is something else", expected)
    return {_text(path, key, expected): value for key, value in node.value}


def _text(path: Path, node: yaml.Node, expected: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
        raise _broken(path, node, "this is not a text", expected)
    return str(node.value).strip()


def _broken(path: Path, node: yaml.Node | None, what: str, expected: str = _EXPECTED) -> FaqError:
    line = node.start_mark.line + 1 if node else 1
    return FaqError(f"{path}, line {line}: {expected}, but {what}")
