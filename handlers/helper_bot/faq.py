"""Questions and what is answered to them, found by similarity."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from rapidfuzz import fuzz, process

# The scorers and thresholds were chosen by measuring: see tests/handlers/test_faq.py.
THRESHOLD = 80
CLOSE = 85

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
    """The FAQ can't be used. The message names the file, the line and what is expected."""


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers that people can give to a question of the bot's."""

    words: str
    step: Step


@dataclass(frozen=True, slots=True)
class Step:
    """What the bot says. With options it ends in a question, else it is the end."""

    text: str
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """Some ways to ask one thing, and what the bot says then. `place` is its file and line."""

    questions: tuple[str, ...]
    step: Step
    place: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """What it is known by while it is talked about: its first question's digest."""
        return hashlib.blake2b(self.questions[0].encode(), digest_size=6).hexdigest()


class Faq:
    """Finds the entry whose question is most like the one that was asked.

    Raises:
        FaqError: two entries are asked in the same words, or a question has none.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self._by_key = {entry.key: entry for entry in self.entries}
        self._by_essence: dict[str, Entry] = {}
        for entry in self.entries:
            for question in entry.questions:
                words = essence(question)
                if not words:
                    raise FaqError(f"{entry.place}: the question {question!r} has no words")
                other = self._by_essence.setdefault(words, entry)
                if other is not entry:
                    raise FaqError(
                        f"{entry.place}: {question!r} is asked in the words of {other.place}, too; "
                        "expected each question once"
                    )

    def find(self, question: str, *, closely: bool = False) -> Entry | None:
        """Return the entry that answers `question`, or None if nothing that is known is similar enough.

        A long message may hold a known question among much else; not so if it has to match `closely`.
        """
        asked = essence(_MENTION.sub(" ", question))
        found = process.extract(
            asked, self._by_essence.keys(), scorer=fuzz.token_set_ratio, score_cutoff=THRESHOLD, limit=None
        )
        if closely:
            found = [match for match in found if fuzz.token_sort_ratio(asked, match[0]) >= CLOSE]
        # "Hello, how do I deploy?" holds two known questions whole: the longer one says more.
        best = max(found, key=lambda match: (match[1], len(match[0])), default=None)
        return self._by_essence[best[0]] if best else None

    def entry(self, key: str) -> Entry | None:
        """Return the entry with this key, or None."""
        return self._by_key.get(key)


def essence(text: str) -> str:
    """Return the words that say what a text is about; all of them if there are no others."""
    words = _WORD.findall(text.lower())
    return " ".join([word for word in words if word not in _FILLER] or words)
