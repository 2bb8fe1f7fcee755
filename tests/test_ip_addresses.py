"""Addresses in text, and the networks that they belong to."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from receiver import ip_addresses
from receiver.ip_addresses import address, neighbourhood, network


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("", "unknown"),
        ("<script>", "unknown"),
        ("fe80::1%eth0", "unknown"),
    ],
)
def test_network(text, found):
    """An address belongs to a network of a usual size; what is no address belongs to none."""
    assert network(text) == found


def test_address():
    """An IPv4 address in the form of IPv6 is an IPv4 address."""
    assert address("::ffff:127.0.0.1") == IPv4Address("127.0.0.1")


def test_long_text():
    """What a stranger writes at length is not remembered."""
    remembered = [one for one in vars(ip_addresses).values() if hasattr(one, "cache_info")]
    before = [one.cache_info() for one in remembered]
    assert before
    assert address("1" * 1000) is None
    assert network("1" * 1000) == "unknown"
    assert [one.cache_info() for one in remembered] == before


def test_neighbourhood():
    """An address of IPv6 counts with all of its customer's."""
    assert neighbourhood("192.0.2.1") == "192.0.2.1/32"
    assert neighbourhood("2001:db8:0:1::5") == neighbourhood("2001:db8:0:1:9::")
    assert neighbourhood("2001:db8:0:1::5") != neighbourhood("2001:db8:0:2::5")
    assert neighbourhood("testclient") == ""
