"""Unsubscribing: the tokens, and the pages over real HTTP."""

from __future__ import annotations

import base64
import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.mail.unsubscribe import PREFIX, Subscription, Tokens
from tests.support import Served, Writes, make_settings

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
ADA = Subscription("digest", "ada")
KEY = PREFIX + "digest"


class TestTokens:
    @given(st.sampled_from(["digest", "weekly news", "ä"]), NAMES)
    def test_there_and_back(self, list_name, user_id):
        """A token gives what it was made of, and fits a URL."""
        subscription = Subscription(list_name, user_id)
        token = Tokens([b"secret"]).sign(subscription)
        assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
        assert Tokens([b"secret"]).open(token) == subscription

    def test_rotation(self):
        """Links outlive a rotation: every secret verifies, the first one signs."""
        old = Tokens([b"old"]).sign(ADA)
        both = Tokens([b"new", b"old"])
        assert both.open(old) == ADA
        assert both.sign(ADA) == Tokens([b"new"]).sign(ADA)
        assert Tokens([b"new"]).open(old) is None

    @pytest.mark.parametrize("position", [0, 5, 21, 25, -1])
    def test_changed(self, position):
        """A token of which anything is changed is none."""
        tokens = Tokens([b"secret"])
        signed = bytearray(base64.urlsafe_b64decode(tokens.sign(ADA) + "=="))
        signed[position] ^= 1
        assert tokens.open(base64.urlsafe_b64encode(signed).rstrip(b"=").decode()) is None

    @given(st.text() | st.binary().map(lambda some: base64.urlsafe_b64encode(some).decode()))
    def test_nonsense(self, token):
        """Whatever is no token is refused quietly."""
        assert Tokens([b"secret"]).open(token) is None
        assert Tokens([]).open(token) is None

    def test_own_key(self):
        """The secret itself signs no token, so that no token says anything about other signatures."""
        token = Tokens([b"secret"]).sign(ADA)
        assert Tokens([b"receiver unsubscribe"]).open(token) is None
        assert Tokens([b"other"]).open(token) is None


@pytest.fixture(scope="module")
def shared(redis_server):
    with Served(make_settings(redis_server.url)) as server:
        yield server


@pytest.fixture
def http(shared, redis_url):
    with httpx.Client(base_url=shared.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def token():
    config = make_settings("redis://localhost")
    return Tokens(config.api_keys).sign(ADA)


def test_looking_changes_nothing(http, token, blocking):
    """A GET, which scanners send, shows a button and changes nothing."""
    writes = Writes(blocking)
    page = http.get(f"/unsubscribe/{token}")
    assert page.status_code == 200
    assert f'<form method="post" action="{token}">' in page.text
    assert "digest" in page.text
    assert "ada" not in page.text.replace(token, "")
    assert writes.none()


@pytest.mark.parametrize(
    "form",
    [
        {"data": {"List-Unsubscribe": "One-Click"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"content": b""},
    ],
)
def test_one_click(http, token, blocking, form):
    """A POST unsubscribes, sent by a mail program (RFC 8058: either kind of form) or by the button."""
    page = http.post(f"/unsubscribe/{token}", **form)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "You&#39;re unsubscribed" in page.text
    assert blocking.smembers(KEY) == {b"ada"}
    assert http.post(f"/unsubscribe/{token}", **form).status_code == 200
    assert "set-cookie" not in page.headers


def test_undo(http, token, blocking):
    """The way back is on the page, relative to it, and so is the way back from there."""
    page = http.post(f"/unsubscribe/{token}")
    undo = page.url.join(re.search(r'action="([^"]+)"', page.text)[1])
    page = http.post(undo)
    assert page.status_code == 200
    assert "subscribed again" in page.text
    assert blocking.smembers(KEY) == set()
    again = page.url.join(re.search(r'action="([^"]+)"', page.text)[1])
    assert http.post(again).status_code == 200
    assert blocking.smembers(KEY) == {b"ada"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("change", [lambda one: one[:-3], lambda one: "x" + one, lambda _: "x" * 5000])
def test_incomplete_link(http, token, blocking, method, change):
    """A link that isn't whole is answered 404 with a page that says so, and writes nothing."""
    writes = Writes(blocking)
    page = http.request(method, f"/unsubscribe/{change(token)}")
    assert page.status_code == 404
    assert "This link isn&#39;t complete" in page.text
    assert writes.none()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("known", [True, False])
def test_headers(http, token, method, known):
    """No page is kept, framed, scripted, or told to others: its address is the key."""
    headers = http.request(method, f"/unsubscribe/{token if known else 'x'}").headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_escaped(http, blocking):
    """A list's name is shown as text, whatever it is made of."""
    config = make_settings("redis://localhost")
    token = Tokens(config.api_keys).sign(Subscription("<script>alert(1)</script>", "ada"))
    for page in (http.get(f"/unsubscribe/{token}"), http.post(f"/unsubscribe/{token}")):
        assert "<script>" not in page.text
        assert "&lt;script&gt;" in page.text


def test_large_form(http, token, blocking):
    """A body that is no form of one click is not read to its end."""
    page = http.post(f"/unsubscribe/{token}", content=b"x" * 100_000)
    assert page.status_code == 413
    assert blocking.smembers(KEY) == set()


def test_redis_is_away(free_port, token):
    """While Redis is away, the page says so and when to come back; the first page is shown all the same."""
    config = make_settings(f"redis://127.0.0.1:{free_port}")
    with Served(config) as server, httpx.Client(base_url=server.url, trust_env=False) as http:
        assert http.get(f"/unsubscribe/{token}").status_code == 200
        for path in (f"/unsubscribe/{token}", f"/resubscribe/{token}"):
            page = http.post(path)
            assert (page.status_code, page.headers["retry-after"]) == (503, "5")
            assert "try again" in page.text


def test_other_methods(http, token):
    """Nothing but a POST changes anything."""
    assert http.put(f"/unsubscribe/{token}").status_code == 405
    assert http.get(f"/resubscribe/{token}").status_code == 405
