"""A thread of follow-up questions: where somebody is in an entry's tree."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Self

from handlers.helper_bot.faq import Entry, Faq, Option, Step


@dataclass(frozen=True, slots=True)
class Thread:
    """The options chosen so far, by their places, and how often in a row an answer wasn't understood."""

    entry: Entry
    chosen: tuple[int, ...] = ()
    missed: int = 0

    @property
    def step(self) -> Step:
        """What the bot said last."""
        step = self.entry.step
        for place in self.chosen:
            step = step.options[place].step
        return step

    @property
    def text(self) -> str:
        """What the bot says here, with the options if it is a question."""
        return _with_options(self.step.text, self.step)

    @property
    def question(self) -> str:
        """The question alone, with its options."""
        return _with_options(self.step.text.rsplit("\n\n", 1)[-1], self.step)

    def follow(self, option: Option) -> Thread:
        """Return the thread after `option` was chosen."""
        return Thread(self.entry, (*self.chosen, self.step.options.index(option)))

    def miss(self) -> Thread:
        """Return the thread after an answer that wasn't understood."""
        return replace(self, missed=self.missed + 1)

    def to_json(self) -> dict[str, Any]:
        """Return what `read` takes: some 100 bytes, whatever was said."""
        return {
            "entry": self.entry.key,
            "chosen": list(self.chosen),
            "missed": self.missed,
            "said": _digest(self.step),
        }

    @classmethod
    def read(cls, faq: Faq, stored: dict[str, Any]) -> Self | None:
        """Return a thread that was stored, or None if the FAQ no longer says there what it said."""
        try:
            entry = faq.entry(stored["entry"])
            if entry is None:
                return None
            thread = cls(entry, tuple(stored["chosen"]), int(stored["missed"]))
            return thread if _digest(thread.step) == stored["said"] else None
        except (LookupError, TypeError, ValueError):  # another FAQ, or another version of this
            return None


def _with_options(text: str, step: Step) -> str:
    if not step.options:
        return text
    listed = [f"{number}. {option.words}" for number, option in enumerate(step.options, 1)]
    return "\n".join([text, *listed, "Answer with a number, or in words. /cancel leaves this."])


def _digest(step: Step) -> str:
    said = "\n".join([step.text, *(option.words for option in step.options)])
    return hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
