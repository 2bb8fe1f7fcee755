"""How a mail's headers are written.

The standard library's own folding is not used: it turns a long URL into encoded words, which no mail
program takes for a link any more, and loses letters of long display names (both seen in CPython 3.11).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

WIDTH = 76
"""Characters in a line, where there is a space to fold at (RFC 5322, 2.1.1, asks for at most 78)."""
LONGEST_LINE = 998
"""Characters in a line that has none (the same place)."""
WORD_BYTES = 42
"""Bytes of UTF-8 in one encoded word, which has at most 75 characters (RFC 2047, 2)."""

_ATOMS = re.compile(r"[\w!#$%&'*+/=?^`{|}~ -]*", re.ASCII)


class Wire(EmailPolicy):
    """CRLF, lines that any server takes (7bit), headers folded here; with `utf8`, as RFC 6532 has them."""

    def __init__(self, *, utf8: bool = False) -> None:
        super().__init__(linesep="\r\n", cte_type="7bit", utf8=utf8, message_factory=EmailMessage)

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        """Keep a header as it was set.

        The library would decode what looks like an encoded word, and with it a line break in one.
        """
        return super().header_store_parse(name, value) if _is_about_content(name) else (name, value)

    def header_fetch_parse(self, name: str, value: Any) -> Any:
        """Return a header as the library reads it."""
        return super().header_fetch_parse(name, str(value) if isinstance(value, Address) else value)

    def fold(self, name: str, value: Any) -> str:
        """Return a header as it is written, with its line end.

        Raises:
            ValueError: there is a line break in it.
        """
        if isinstance(value, Address):
            parts = _address(value, utf8=self.utf8)
        else:
            parts = _text(str(value), utf8=self.utf8)
        if any(break_ in part for part in (name, *parts) for break_ in "\r\n"):
            raise ValueError(f"the header {name!r} has a line break in it")
        return _folded(name, parts)

    def fold_binary(self, name: str, value: Any) -> bytes:
        """Return a header as it travels."""
        return self.fold(name, value).encode()


def _is_about_content(name: str) -> bool:
    return name.lower().startswith("content-")


def _address(address: Address, *, utf8: bool) -> list[str]:
    name, spec = address.display_name, f"{address.username}@{address.domain}"
    if not name:
        return [spec]
    if _ATOMS.fullmatch(name) and "=?" not in name:
        return [*name.split(), f"<{spec}>"]
    if utf8 or (name.isascii() and "=?" not in name and len(name) < WIDTH):
        return ['"' + re.sub(r'([\\"])', r"\\\1", name) + '"', f"<{spec}>"]
    return [*_words(name), f"<{spec}>"]


def _text(text: str, *, utf8: bool) -> list[str]:
    parts = text.split(" ")
    is_plain = text.isascii() and "=?" not in text  # which a reader would take for an encoded word
    if (utf8 or is_plain) and max(len(part.encode()) for part in parts) < LONGEST_LINE - WIDTH:
        return parts
    return list(_words(text))


def _words(text: str) -> Iterator[str]:
    """Give encoded words (RFC 2047), none of which ends within a character."""
    word = b""
    for character in text:
        encoded = character.encode()
        if len(word) + len(encoded) > WORD_BYTES:
            yield f"=?utf-8?b?{base64.b64encode(word).decode()}?="
            word = b""
        word += encoded
    yield f"=?utf-8?b?{base64.b64encode(word).decode()}?="


def _folded(name: str, parts: list[str]) -> str:
    lines, line = [], f"{name}:"
    for part in parts:
        # A line of nothing but space would end the headers for some readers.
        if part and line.strip() and len(line) + 1 + len(part) > WIDTH and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {part}"
    return "\r\n".join([*lines, line]) + "\r\n"
