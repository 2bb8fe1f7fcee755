"""Where mails are handed over, as a URL says it."""

from __future__ import annotations

import pytest

from receiver.smtp_url import SmtpUrl


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("smtp://mail.example.com", "mail.example.com", 25, "offered"),
        ("smtp://mail.example.com:2525/", "mail.example.com", 2525, "offered"),
        ("smtp://u:p@mail.example.com", "mail.example.com", 587, "required"),
        ("smtp://u:p@mail.example.com?tls=none", "mail.example.com", 587, "none"),
        ("smtp://u:p@localhost:25", "localhost", 25, "offered"),
        ("smtp://u:p@127.0.0.1:25", "127.0.0.1", 25, "offered"),
        ("smtp://u:p@[::1]:25", "::1", 25, "offered"),
        ("smtp://localhost?tls=required", "localhost", 25, "required"),
        ("smtp://localhost?tls=none", "localhost", 25, "none"),
        ("smtps://mail.example.com", "mail.example.com", 465, "implicit"),
        ("smtps://u:p@mail.example.com:4650", "mail.example.com", 4650, "implicit"),
    ],
)
def test_taken(url, host, port, tls):
    """Port and TLS follow from scheme, user and host, unless named; no password travels far in clear."""
    found = SmtpUrl.parse(url)
    assert (found.host, found.port, found.tls) == (host, port, tls)


def test_password():
    """User and password are unquoted, and the password is in no repr."""
    found = SmtpUrl.parse("smtp://ada%40example.com:p%40ss%2F%3A1@mail.example.com")
    assert (found.user, found.password) == ("ada@example.com", "p@ss/:1")
    assert "p@ss" not in repr(found) + str(found)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mail.example.com:25", "expected smtp:// or smtps://, and a host"),
        ("http://mail.example.com", "expected smtp:// or smtps://, and a host"),
        ("smtp://", "expected smtp:// or smtps://, and a host"),
        ("smtp://u:p@", "expected smtp:// or smtps://, and a host"),
        ("smtp://mail.example.com:0", "expected a port from 1 to 65535"),
        ("smtp://mail.example.com:99999", "expected a port from 1 to 65535, and in a password %2F for /, "),
        ("smtp://u:hush/hush@mail.example.com", "expected a port from 1 to 65535, and in a password %2F"),
        ("smtp://mail.example.com/path", "expected nothing behind the port but ?tls=required or ?tls=none"),
        (
            "smtp://mail.example.com?tls=yes",
            "expected nothing behind the port but ?tls=required or ?tls=none",
        ),
        ("smtp://mail.example.com?timeout=5", "expected nothing behind the port but ?tls=required"),
        ("smtps://mail.example.com?tls=none", "expected no ?tls= behind smtps://, which is TLS always"),
        ("smtp://hush@mail.example.com", "expected both user and password, or neither"),
    ],
)
def test_refused(url, said):
    """A wrong URL is told by what was expected, without repeating it."""
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        SmtpUrl.parse(url)
    assert str(caught.value).startswith(said)
    assert "hush" not in str(caught.value)
