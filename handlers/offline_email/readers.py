"""A reader: whom a mail goes to, and how they like it. Read from what a source of addresses gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

OFF = frozenset({"off", "false", "no", "0", "never"})
Metadata = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives a user's metadata, from the webhook or from the API."""
FIELDS = ("email", "name", "language", "timezone", "wants_mail")
"""The columns of a CSV file and of a query, and the keys of what a function gives."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a mail goes to. What isn't known is ""; its repr tells nobody's address."""

    address: str = field(repr=False)
    name: str = field(default="", repr=False)
    language: str = ""
    timezone: str = ""
    wants_mail: bool = True

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Reader | None:
        """Read a reader from named fields; `address` is taken for `email`, too. None without an address."""
        address = _text(fields.get("email")) or _text(fields.get("address"))
        if not address:
            return None
        return cls(
            address=address,
            name=_text(fields.get("name")),
            language=_text(fields.get("language")),
            timezone=_text(fields.get("timezone")),
            wants_mail=not is_off(fields.get("wants_mail")),
        )

    def named(self, name: str) -> Reader:
        """Return the reader, called `name` if their name isn't known."""
        return self if self.name else replace(self, name=name)


def is_off(value: object) -> bool:
    """Tell whether a preference says no: "off", "false", "no", "0", "never", False. What is unset doesn't."""
    return value is False or value == 0 or (isinstance(value, str) and value.strip().lower() in OFF)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
