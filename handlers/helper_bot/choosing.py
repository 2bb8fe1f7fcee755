"""Which of a question's options somebody means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz import fuzz

from handlers.helper_bot.faq import Option, essence

# Chosen by measuring: see tests/handlers/test_helper_bot_threads.py.
ENOUGH = 75
LEAD = 10
"""How much better than the next one an option has to fit, out of 100."""

_NUMBER = re.compile(r"\W*(?:option|number|no|nr)?\W*(\d{1,2})\W*", re.IGNORECASE)
_WORD = re.compile(r"\w+")


def choose(options: Sequence[Option], said: str) -> Option | None:
    """Return the option that is named by its words, its number or its beginning, or None."""
    words = _plain(said)
    for option in options:
        if said.strip() == option.words or (words and _plain(option.words) == words):
            return option
    number = _NUMBER.fullmatch(said)
    if number:
        return options[int(number[1]) - 1] if 1 <= int(number[1]) <= len(options) else None
    begun = [option for option in options if words and _plain(option.words).startswith(words)]
    return begun[0] if len(begun) == 1 else None


def guess(options: Sequence[Option], said: str) -> Option | None:
    """Return the option that fits best what was said in other words, or None if that isn't clear."""
    scores = sorted(((_score(option, options, said), -at) for at, option in enumerate(options)), reverse=True)
    best, at = scores[0]
    next_best = scores[1][0] if len(scores) > 1 else 0.0
    return options[-at] if best >= ENOUGH and best - next_best >= LEAD else None


def _score(option: Option, options: Sequence[Option], said: str) -> float:
    """Tell how well an option fits: as a whole, or by the words that tell it from the others."""
    own = essence(option.words).split()
    others = {word for one in options if one is not option for word in essence(one.words).split()}
    telling = [word for word in own if word not in others]
    heard = _plain(said).split()
    if not heard:
        return 0.0
    nearest = [max(fuzz.ratio(word, each) for each in heard) for word in telling]
    return max(
        fuzz.ratio(_plain(option.words), _plain(said)), sum(nearest) / len(nearest) if nearest else 0.0
    )


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
