"""E-mail addresses: what is taken for one, and the form in which it travels."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

LONGEST = 254
LONGEST_LOCAL_PART = 64
"""Characters (RFC 5321, 4.5.3.1; a path of 256 octets has two angle brackets)."""

_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?")
# IDNA 2003, which Python has, maps these to other letters: another domain than IDNA 2008 means.
_DEVIATIONS = frozenset("ßς\u200c\u200d")


@dataclass(frozen=True, slots=True)
class MailAddress:
    """An address such as `ada@example.com`, and the name beside it, or ""."""

    address: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> MailAddress:
        """Read `ada@example.com` or `Ada Lovelace <ada@example.com>`.

        A domain that isn't ASCII becomes its ASCII form where that is beyond doubt. The local part may
        hold any letters (RFC 6531); one in quotes is not taken, nor is a list of addresses.

        Raises:
            ValueError: it is no address; the text says what was expected, and repeats nothing of it.
        """
        name, opening, rest = text.strip().rpartition("<")
        if opening:
            if not rest.endswith(">"):
                raise ValueError("expected an address, or a name and an <address>")
            address = rest[:-1]
        else:
            address = rest
        name = name.strip()
        if len(name) > 1 and name[0] == name[-1] == '"':
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        if not is_one_line(name):
            raise ValueError("expected a name without line breaks or control characters")
        local, _, domain = address.rpartition("@")
        domain = _to_ascii(domain)
        if not (_LOCAL_PART.fullmatch(local) and all(map(_LABEL.fullmatch, domain.split(".")))):
            raise ValueError("expected an address such as name@example.com")
        if len(local.encode()) > LONGEST_LOCAL_PART or len(domain.encode()) + len(local.encode()) >= LONGEST:
            raise ValueError(f"expected an address of at most {LONGEST} characters")
        return cls(f"{local}@{domain}", name)

    @property
    def domain(self) -> str:
        """What stands behind the @."""
        return self.address.rpartition("@")[2]


def is_one_line(text: str) -> bool:
    """Tell whether `text` fits a header: no line breaks of any kind, no control characters but tabs."""
    return not any(unicodedata.category(one) in ("Cc", "Zl", "Zp") and one != "\t" for one in text)


def _to_ascii(domain: str) -> str:
    if domain.isascii() or not _DEVIATIONS.isdisjoint(domain):
        return domain
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        raise ValueError("expected an address such as name@example.com") from None
