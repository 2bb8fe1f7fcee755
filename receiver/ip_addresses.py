"""IP addresses as they come in, in text: of peers, from headers, in settings. This is all that reads them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

_LONGEST = 60
"""Characters. No address is longer, and what is read is remembered."""
_NETWORK = {4: 24, 6: 48}
_CUSTOMER = {4: 32, 6: 64}


def address(text: str) -> Address | None:
    """Read an IP address; one of IPv4 that is written as IPv6 is the former. None if it is none."""
    return _read(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=1024)
def _read(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return None
        return found.ipv4_mapped or found
    return found


def network(text: str) -> str:
    """Return the network of an address: the /24 of an IPv4 one, the /48 of an IPv6 one."""
    found = address(text)
    return "unknown" if found is None else _network(found)


@lru_cache(maxsize=1024)
def _network(found: Address) -> str:
    return str(ip_network((found, _NETWORK[found.version]), strict=False))


def neighbourhood(text: str) -> str:
    """Return the network of which each customer of a provider has one.

    Of IPv6 the /64, of IPv4 the /32, which is the address alone; "" if it is no address.
    """
    found = address(text)
    if found is None:
        return ""
    return str(ip_network((found, _CUSTOMER[found.version]), strict=False))


def is_loopback(host: str) -> bool:
    """Tell whether who listens on `host` is reached from this machine only."""
    found = address(host)
    return host == "localhost" if found is None else found.is_loopback
