"""Where requests come from: whose word counts, and which networks are let in."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import Rejected
from receiver.networks import MOST_HOPS, Networks

OFFICE, PROXIES = ip_network("203.0.113.0/24"), ip_network("10.0.0.0/8")
IN, OUT, PROXY = "203.0.113.7", "198.51.100.7", "10.1.2.3"


def scope(peer, *forwarded):
    """Return what is known of a request: its peer (None: it came by a Unix socket), and X-Forwarded-For."""
    headers = [(b"x-forwarded-for", one.encode("latin-1")) for one in forwarded]
    return {"client": None if peer is None else (peer, 5), "headers": [(b"host", b"h"), *headers]}


def allows(networks, *request):
    try:
        networks.check(scope(*request))
    except Rejected as rejected:
        return (rejected.status, rejected.code) != (403, "not_allowed")
    return True


BEHIND = Networks([OFFICE], [PROXIES])


@pytest.mark.parametrize("peer", [IN, OUT, None, "::1"])
def test_everywhere(peer):
    """Without a list, requests are taken from everywhere, whatever is forwarded."""
    assert allows(Networks((), [PROXIES]), peer, "nonsense")


@pytest.mark.parametrize(
    ("peer", "allowed"), [(IN, True), (f"::ffff:{IN}", True), (OUT, False), ("::1", False), (None, False)]
)
def test_peer(peer, allowed):
    """The peer's address decides; one of IPv4 may be written as IPv6; a Unix socket is this machine."""
    assert allows(Networks([OFFICE]), peer) is allowed
    assert allows(Networks([OFFICE, ip_network("127.0.0.0/8")]), None)


def test_ipv6():
    """Networks of IPv6 are like those of IPv4."""
    networks = Networks([ip_network("2001:db8::/32")])
    assert allows(networks, "2001:db8::1")
    assert not allows(networks, "2001:db9::1")
    assert not allows(networks, IN)


@pytest.mark.parametrize("networks", [BEHIND, Networks([OFFICE])])
def test_own_word(networks):
    """Nobody's word counts who is no trusted proxy: his header changes nothing."""
    assert not allows(networks, OUT, IN)
    assert allows(networks, IN, OUT)


@pytest.mark.parametrize(
    ("forwarded", "allowed"),
    [
        ([IN], True),
        ([OUT], False),
        ([f"{IN}, {OUT}"], False),  # the client's own word, then the proxy's
        ([f"{OUT}, {IN}"], True),
        ([f"{OUT},{IN},10.9.9.9"], True),
        ([OUT, IN], True),
        ([IN, OUT], False),
        ([f"{IN}, 10.9.9.9", "10.8.8.8"], True),
        ([f" {IN}:443\t"], True),
        ([f"::ffff:{IN}"], True),
        ([f"[::ffff:{IN}]:443"], True),
        (["10.9.9.9"], False),  # proxies all the way
        ([f"nonsense, {IN}"], True),  # what isn't believed isn't read
        ([f"{IN}, nonsense"], False),
        ([f"{IN},"], False),
        ([f"{IN}, unknown"], False),
        ([f"{IN}%eth0"], False),
        ([f"{IN}/32"], False),
        (["[203.0.113.7"], False),
        (["203.0.113.07"], False),
        (["\xb2.0.0.1"], False),
        ([IN + " " * 100], True),
        (["1" * 100], False),
        ([""], False),
        ([], False),  # then it is the proxy itself that asks
    ],
)
def test_proxy(forwarded, allowed):
    """Behind a trusted proxy, the last address that is none of a proxy decides; what can't be read is out."""
    assert allows(BEHIND, PROXY, *forwarded) is allowed


def test_proxy_itself():
    """A trusted proxy that forwards nothing speaks for itself."""
    assert allows(Networks([OFFICE, PROXIES], [PROXIES]), PROXY)
    assert allows(Networks([ip_network("127.0.0.0/8")], [ip_network("127.0.0.0/8")]), None)


def test_by_unix_socket():
    """A proxy that comes by a Unix socket is trusted where this machine is."""
    assert allows(Networks([OFFICE], [ip_network("127.0.0.1/32")]), None, IN)
    assert not allows(Networks([OFFICE], [ip_network("127.0.0.1/32")]), None, OUT)


def test_many_hops():
    """Only so many proxies in a row are believed."""
    assert allows(BEHIND, PROXY, ",".join([IN, *[PROXY] * (MOST_HOPS - 1)]))
    assert not allows(BEHIND, PROXY, ",".join([IN, *[PROXY] * MOST_HOPS]))


def test_client():
    """For the log there is always an address: the peer's where nothing better can be read."""
    assert BEHIND.client(scope(PROXY, OUT)) == OUT
    assert BEHIND.client(scope(PROXY, "nonsense")) == PROXY
    assert BEHIND.client(scope(None)) == "127.0.0.1"


addresses = st.one_of(
    st.sampled_from([IN, OUT, PROXY, "10.9.9.9", "2001:db8::1"]),
    st.ip_addresses().map(str),
    st.text(max_size=9),
)


@given(peer=st.ip_addresses(), forwarded=st.lists(addresses, max_size=6), lines=st.integers(1, 3))
def test_nobody_talks_his_way_in(peer, forwarded, lines):
    """Whatever a client writes before what the proxy adds, the proxy's word decides."""
    header = [
        ", ".join(forwarded[number::lines]).encode("utf-8").decode("latin-1") for number in range(lines)
    ]
    assert not allows(BEHIND, PROXY, *header, OUT)
    assert allows(BEHIND, PROXY, *header, IN)
    if peer not in PROXIES:
        assert allows(BEHIND, str(peer), *header) is (peer in OFFICE)


@given(st.text(alphabet="0123456789abcdef.:[],% \tfx", max_size=40))
def test_any_header(text):
    """Whatever the header says, it is read as an address or refused, and nothing breaks."""
    found = BEHIND.origin(scope(PROXY, text))
    assert found is None or found == ip_address(str(found))
