"""Which requests come from this machine, and which addresses are its own."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from receiver.errors import SettingsError
from receiver.guard import check_host, is_local
from receiver.ip_addresses import is_loopback


def scope(*headers, host="127.0.0.1:8000", server="127.0.0.1", client="127.0.0.1", version="1.1"):
    hosts = [] if host is None else [("host", host)]
    return {
        "type": "http",
        "http_version": version,
        "server": server and (server, 8000),
        "client": client and (client, 5),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in [*hosts, *headers]],
    }


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.1.2", False),
        ("::ffff:192.168.1.2", False),
        ("localhost.evil.test", False),
        ("127.0.0.1.evil.test", False),
        ("box.localhost", False),  # which may be asked of a name server
        ("127.1", False),
        ("/run/receiver.sock", False),
    ],
)
def test_loopback(host, own):
    """Only what nobody else can reach is loopback; and only there pages are shown without a token."""
    assert is_loopback(host) == own
    check_host(host, SecretStr("a-token-that-is-long"))
    if own:
        check_host(host, None)
    else:
        with pytest.raises(SettingsError, match=r"RECEIVER_INSPECTOR_TOKEN is not set\. .* A right value: "):
            check_host(host, None)


@pytest.mark.parametrize(
    "one",
    [
        scope(),
        scope(host="localhost"),
        scope(host="LocalHost:8000"),
        scope(host="localhost."),
        scope(host="sandbox.localhost:1"),
        scope(host="[::1]:8000", server="::1", client="::1"),
        scope(server="::ffff:127.0.0.1", client="::ffff:127.0.0.1"),
        scope(host="box.test:8000"),
    ],
)
def test_local(one):
    """This machine's own requests are known by both ends and the name, and so is its public name."""
    assert is_local(one, {"box.test"})


@pytest.mark.parametrize(
    "one",
    [
        scope(host=None),
        scope(host=""),
        scope(host="evil.test"),
        scope(host="127.0.0.1.evil.test"),
        scope(host="localhost.evil.test"),
        scope(host="evil-localhost"),
        scope(host="evil.test@127.0.0.1"),
        scope(host="127.0.0.1:8000:1"),
        scope(host="127.0.0.1/"),
        scope(host="[::1"),
        scope(host="192.168.1.2"),
        scope(host="2130706433"),
        scope(host="\xff"),
        scope(("host", "evil.test")),
        scope(server="192.168.1.2"),
        scope(server=None),
        scope(server="/run/receiver.sock"),
        scope(client="192.168.1.2"),
        scope(client=None),
        scope(version="1.0"),
        *(
            scope((name, "x"))
            for name in (
                "forwarded",
                "via",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-forwarded-port",
                "x-real-ip",
                "x-client-ip",
                "true-client-ip",
                "cf-connecting-ip",
                "fastly-connecting-ip",
            )
        ),
    ],
)
def test_not_local(one):
    """A foreign end, another name, or a proxy's trace: then it isn't from here."""
    assert not is_local(one, {"box.test"})
