"""Questions and answers from a YAML file, found by similarity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from rapidfuzz import fuzz, process

# The scorer and the threshold were chosen by measuring: see tests/handlers/test_faq.py.
THRESHOLD = 80

_EXPECTED = "expected a list of entries like {questions: [how do I deploy], answer: Run receiver serve.}"
_MENTION = re.compile(r"@\S+")
_WORD = re.compile(r"\w+")
# Words that say nothing about what a question is about. Question words do, so they stay.
_FILLER = frozenset(
    _WORD.findall(
        "a an the is are am be do does did i m me my mine you your it its s that these those to of in on at"
        " for with and or when why which who can could should would will there have has was were if so"
        " any we our us happens happen go goes get"
    )
)


class FaqError(Exception):
    """The FAQ file can't be used. The message names the file, the line and what is expected."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Some ways to ask one thing, and its answer."""

    questions: tuple[str, ...]
    answer: str


class Faq:
    """Finds the entry whose question is most like the one that was asked."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self._answers = {
            _essence(question): entry.answer for entry in entries for question in entry.questions
        }

    def answer(self, question: str) -> str | None:
        """Return the answer to `question`, or None if nothing that is known is similar enough."""
        essence = _essence(_MENTION.sub(" ", question))
        found = process.extract(
            essence, self._answers.keys(), scorer=fuzz.token_set_ratio, score_cutoff=THRESHOLD, limit=None
        )
        # "Hello, how do I deploy?" holds two known questions whole: the longer one says more.
        best = max(found, key=lambda match: (match[1], len(match[0])), default=None)
        return self._answers[best[0]] if best else None


def load_faq(path: Path) -> Faq:
    """Read a FAQ file.

    Raises:
        FaqError: the file is missing or broken.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise FaqError(f"{path}: {error.strerror}. HELPER_BOT_FAQ names it; {_EXPECTED}") from error
    except UnicodeDecodeError as error:
        raise FaqError(f"{path}: this is not UTF-8 text; {_EXPECTED}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise FaqError(f"{path}{line}: this is not YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(root, yaml.SequenceNode):
        raise _broken(path, root)
    return Faq(tuple(_entry(path, node) for node in root.value))


def _entry(path: Path, node: yaml.Node) -> Entry:
    if not isinstance(node, yaml.MappingNode):
        raise _broken(path, node)
    fields = {key.value: value for key, value in node.value}
    if fields.keys() != {"questions", "answer"}:
        raise _broken(path, node, f"an entry has the fields {', '.join(map(str, fields)) or 'none'}")
    questions = fields["questions"]
    if not isinstance(questions, yaml.SequenceNode) or not questions.value:
        raise _broken(path, questions, "questions is not a list")
    return Entry(tuple(_text(path, question) for question in questions.value), _text(path, fields["answer"]))


def _text(path: Path, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
        raise _broken(path, node, "this is not a text")
    return str(node.value).strip()


def _broken(path: Path, node: yaml.Node | None, what: str = "this is something else") -> FaqError:
    line = node.start_mark.line + 1 if node else 1
    return FaqError(f"{path}, line {line}: {_EXPECTED}, but {what}")


def _essence(question: str) -> str:
    words = _WORD.findall(question.lower())
    return " ".join([word for word in words if word not in _FILLER] or words)
