"""The cookie of who has logged in."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr

from receiver.guard.sessions import LASTS, Sessions

TOKEN = SecretStr("a-token-that-is-long")


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


def scope(cookie="", *headers, scheme="http"):
    cookies = [(b"cookie", cookie.encode())] if cookie else []
    return {"type": "http", "scheme": scheme, "headers": [*cookies, *headers]}


def value(cookie):
    return cookie.partition(";")[0]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    return Sessions(TOKEN, clock=clock)


def test_cookie(sessions):
    """No script reads the cookie, and no other site sends it; it ends."""
    name, *attributes = sessions.begin(scope()).split("; ")
    assert name.startswith("receiver-session=")
    assert set(attributes) == {"Path=/", f"Max-Age={LASTS}", "HttpOnly", "SameSite=Strict"}


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (scope(scheme="https"), {}),
        (scope("", (b"x-forwarded-proto", b"https")), {}),
        (scope(), {"https": True}),
    ],
)
def test_https(clock, asked, options):
    """By HTTPS the cookie is for HTTPS only, and only this very host can have set it."""
    cookie = Sessions(TOKEN, clock=clock, **options).begin(asked)
    assert cookie.startswith("__Host-receiver-session=")
    assert cookie.endswith("; Secure")
    assert "Domain" not in cookie


def test_holds(sessions, clock):
    """A session holds until it is over, in every process that has the token; not with another token."""
    cookie = value(sessions.begin(scope()))
    assert sessions.holds(scope(cookie))
    assert Sessions(TOKEN, clock=clock).holds(scope(cookie))
    assert not Sessions(SecretStr("another-token-that-is-long"), clock=clock).holds(scope(cookie))
    clock.now += LASTS + 1
    assert not sessions.holds(scope(cookie))


def test_every_bit(sessions):
    """A cookie of which anything is changed is none."""
    name, _, given = value(sessions.begin(scope())).partition("=")
    content = base64.urlsafe_b64decode(given + "=")
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        forged = base64.urlsafe_b64encode(bytes(changed)).decode().rstrip("=")
        assert not sessions.holds(scope(f"{name}={forged}"))


@pytest.mark.parametrize("given", ["", "x", "a" * 75, "=" * 75, "ä", "a" * 100_000, "A", '"'])
def test_nonsense(sessions, given):
    """Whatever else stands there is no session."""
    assert not sessions.holds(scope(f"receiver-session={given}"))
    assert not sessions.holds(scope())


def test_plain_cookie_by_https(sessions):
    """A cookie that any site of the domain could have set doesn't count by HTTPS."""
    cookie = value(sessions.begin(scope()))
    assert not sessions.holds(scope(cookie, scheme="https"))


def test_end(sessions, clock):
    """Logging out ends this session for good, and no other one; its memory doesn't grow for ever."""
    one, other = value(sessions.begin(scope())), value(sessions.begin(scope()))
    assert sessions.end(scope(one)).startswith("receiver-session=; Path=/; Max-Age=0;")
    assert not sessions.holds(scope(one))
    assert sessions.holds(scope(other))
    sessions.end(scope("receiver-session=made-up"))
    clock.now += LASTS + 1
    sessions.end(scope(value(sessions.begin(scope()))))
    assert len(sessions._ended) == 1
