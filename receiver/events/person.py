"""Whether a stored text speaks of a person: by the user id, which is all that we know of anybody."""

from __future__ import annotations

import json
import re
from typing import Any

from receiver.events.parsing import NotJSON, parse

DEEPEST = 4
"""JSON in a string in JSON, and so on: Sendbird's admin messages carry their users so."""
REDACTED = "(removed)"


class Person:
    """A user, by id. A body *names* a person where a JSON string in it, a key or a value, is the id.

    It may stand anywhere: as the sender, in a list of members, as a message's whole text, in JSON within a
    string. A number counts where its key ends with `user_id`. What merely contains the id does not count:
    "ann" is not named by "joanna".
    """

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self._plain = user_id.encode("utf-8", "surrogatepass")
        self._is_escaped = not re.fullmatch(r"[ -~]*", user_id) or bool(re.search(r'["\\/]', user_id))
        word = re.escape(user_id)
        self._quoted = re.compile(rf"(?<![\w@+-])(?<!\w\.){word}(?![\w@+-]|\.\w)")

    def __repr__(self) -> str:  # an id may be an address
        return "Person()"

    def is_named(self, body: bytes) -> bool:
        """Tell whether a JSON text names the person. In what is no JSON, the bare id is looked for."""
        if not self._may_be_named(body):
            return False
        try:
            return self._is_in(parse(body))
        except NotJSON:
            return self._plain in body
        except RecursionError:
            return True

    def is_quoted(self, text: str) -> bool:
        """Tell whether the id stands in a text for people, as a word of its own."""
        return self._quoted.search(text) is not None

    def redact(self, text: str) -> str:
        """Return the text without the id."""
        return self._quoted.sub(REDACTED, text)

    def forms(self) -> set[bytes]:
        """Return the id as JSON writes it, in each usual way."""
        escaped = json.dumps(self.user_id)
        plain = json.dumps(self.user_id, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return {
            plain,
            plain.replace(b"/", b"\\/"),
            *(form.encode() for form in (escaped, escaped.replace("/", "\\/"))),
        }

    def _may_be_named(self, body: bytes) -> bool:
        """Tell fast of most bodies that they don't: the id isn't there, nor is any letter escaped."""
        return self._plain in body or b"\\u" in body or (self._is_escaped and b"\\" in body)

    def _is_in(self, value: Any, depth: int = 0) -> bool:
        stack = [("", value)]
        while stack:
            key, one = stack.pop()
            if isinstance(one, str):
                if one == self.user_id or (one[:1] in ("{", "[") and self._is_within(one, depth)):
                    return True
            elif isinstance(one, dict):
                if self.user_id in one:
                    return True
                stack += one.items()
            elif isinstance(one, list):
                stack += [(key, item) for item in one]
            elif (
                isinstance(one, int)
                and str(one) == self.user_id
                and key.lower().replace("_", "").endswith("userid")
            ):
                return True
        return False

    def _is_within(self, text: str, depth: int) -> bool:
        """Tell whether a string that looks like JSON names the person."""
        if depth == DEEPEST:
            return False
        try:
            return self._is_in(parse(text.encode()), depth + 1)
        except (NotJSON, UnicodeEncodeError):
            return False
