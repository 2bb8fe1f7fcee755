"""Where mails are handed over, as a URL says it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from receiver.ip_addresses import is_loopback

Tls = Literal["implicit", "required", "offered", "none"]

SUBMISSION_TLS = 465
SUBMISSION = 587
RELAY = 25
"""Ports (RFC 8314, RFC 6409, RFC 5321)."""


@dataclass(frozen=True, slots=True)
class SmtpUrl:
    """`smtp://[user:password@]host[:port][?tls=required|none]`, or `smtps://` for TLS from the first byte.

    `tls`: implicit (smtps), required (STARTTLS, with a certificate that is checked), offered (STARTTLS
    if the server has it, with any certificate: who could forge one could as well hide the offer; RFC
    7435), none.
    """

    host: str
    port: int
    tls: Tls
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> SmtpUrl:
        """Read a URL.

        Without `?tls=`, TLS is required where a password would travel to another machine, and used if
        offered elsewhere. Ports: 465 for smtps, 587 with a user, 25 without.

        Raises:
            ValueError: it is no such URL; the text says what was expected, and repeats nothing of it.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:  # its text may hold what is part of a password
            raise ValueError(
                "expected a port from 1 to 65535, and in a password %2F for /, %40 for @ and so on"
            ) from None
        if parts.scheme not in ("smtp", "smtps") or not host:
            raise ValueError("expected smtp:// or smtps://, and a host")
        if re.search(r"[\s\x00-\x1f\x7f]", host):
            raise ValueError("expected a host without spaces")
        if port == 0:
            raise ValueError("expected a port from 1 to 65535")
        if parts.path not in ("", "/") or parts.fragment:
            raise ValueError("expected nothing behind the port but ?tls=required or ?tls=none")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if bool(user) != bool(password):
            raise ValueError("expected both user and password, or neither")
        tls = _tls(parts.scheme, parts.query, risky=bool(user) and not is_here(host))
        usual = SUBMISSION_TLS if tls == "implicit" else SUBMISSION if user else RELAY
        return cls(host, port or usual, tls, user, password)

    def __str__(self) -> str:
        """Return host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _tls(scheme: str, query: str, *, risky: bool) -> Tls:
    options = parse_qsl(query, keep_blank_values=True)
    if scheme == "smtps":
        if options:
            raise ValueError("expected no ?tls= behind smtps://, which is TLS always")
        return "implicit"
    match options:
        case []:
            return "required" if risky else "offered"
        case [("tls", "required" | "none" as tls)]:
            return tls
        case _:
            raise ValueError("expected nothing behind the port but ?tls=required or ?tls=none")


def is_here(host: str) -> bool:
    """Tell whether `host` is this machine by its very name."""
    return is_loopback(host) or host.endswith(".localhost")
