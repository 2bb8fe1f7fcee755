"""Which networks events are taken from, and whose word counts on where a request comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from receiver.errors import Rejected
from receiver.ip_addresses import Address, address

Network = IPv4Network | IPv6Network

FORWARDED = b"x-forwarded-for"
MOST_HOPS = 20
"""Proxies in a row that are believed."""
_HERE = "127.0.0.1"
"""Whoever comes by a Unix socket is on this machine."""
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?")


class Networks:
    """`allowed` are the networks that events are taken from (none: all), `trusted` those of proxies."""

    def __init__(self, allowed: Iterable[Network] = (), trusted: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)
        self._trusted = tuple(trusted)

    def check(self, scope: Mapping[str, Any]) -> None:
        """Make sure that a request comes from where events may come from.

        Raises:
            Rejected: not_allowed.
        """
        if not self._allowed:
            return
        found = self.origin(scope)
        if found is None or not _within(found, self._allowed):
            raise Rejected(
                403,
                "not_allowed",
                "Events are taken from some networks only (RECEIVER_ALLOW_FROM), and this is none of them. "
                "Behind a proxy, RECEIVER_TRUSTED_PROXIES must name it, and it must send X-Forwarded-For.",
            )

    def client(self, scope: Mapping[str, Any]) -> str:
        """Return the address that a request comes from, or its peer's where a proxy's word can't be read."""
        return str(self.origin(scope) or _peer(scope))

    def origin(self, scope: Mapping[str, Any]) -> Address | None:
        """Return where a request comes from; None if a trusted proxy says so in a way that can't be read.

        That is the peer, or, if it is a trusted proxy, the last address in X-Forwarded-For that is not one:
        what stands before it is the client's own word.
        """
        found = address(_peer(scope))
        if found is None or not self._trusted or not _within(found, self._trusted):
            return found
        said = b",".join(value for name, value in scope["headers"] if name == FORWARDED)
        if not said.strip():
            return found
        for hop in reversed(said.decode("latin-1").rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
            found = _read(hop.strip(" \t"))
            if found is None or not _within(found, self._trusted):
                return found
        return found


ANYWHERE = Networks()


def _peer(scope: Mapping[str, Any]) -> str:
    client = scope.get("client")
    return client[0] if client else _HERE


def _read(hop: str) -> Address | None:
    """Read an address as proxies write it: bare, or with a port."""
    match = _WITH_PORT.fullmatch(hop)
    return address((match[1] or match[2]) if match else hop)


def _within(one: Address, networks: Iterable[Network]) -> bool:
    return any(one in network for network in networks)
