"""The settings: what is taken, and what is said of wrong ones."""

from __future__ import annotations

import re

import pytest

from handlers.offline_email.settings import Settings, is_link
from receiver.errors import SettingsError


@pytest.fixture
def set_to(monkeypatch):
    """Read the settings from an environment."""

    def read(**values):
        for name, value in values.items():
            monkeypatch.setenv(f"OFFLINE_EMAIL_{name}", value)
        return Settings.load()

    return read


def test_durations(set_to):
    """Times are said as elsewhere: 10s, 2h."""
    settings = set_to(QUIET="10s", LONGEST="2h")
    assert (settings.quiet, settings.longest) == (10.0, 7200.0)


@pytest.mark.parametrize(
    "addresses",
    [
        "metadata",
        "csv:/etc/readers.csv",
        "csv:C:\\readers.csv",
        "people:find",
        "my_company.people:find_reader",
    ],
)
def test_addresses(set_to, addresses):
    """Each of these is a source of addresses."""
    assert set_to(ADDRESSES=addresses).addresses == addresses


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("QUIET", "soon", "expected a number with s, m, h or d behind it"),
        ("QUIET", "0", "more than 0"),
        ("LONGEST", "10s", "expected at least the time that OFFLINE_EMAIL_QUIET says"),
        ("MOST", "0", "at least 1"),
        ("MOST", "10001", "at most 10000"),
        ("ADDRESSES", "ldap", "expected metadata, csv:"),
        ("ADDRESSES", "csv:", "expected metadata, csv:"),
        ("ADDRESSES", "people.find", "expected metadata, csv:"),
        ("ADDRESSES", "people:find()", "expected metadata, csv:"),
        ("SQL_QUERY", "SELECT email FROM people", "expected :user_id in it"),
        ("SQL_QUERY", "SELECT email FROM people WHERE x::user_id", "expected :user_id in it"),
        ("TEMPLATES", "/no/such/folder", "expected a folder that is there"),
        ("LANGUAGE", "klingon", "expected a language such as"),
        ("TIMEZONE", "Berlin", "expected a time zone such as"),
        ("TIMEZONE", "../x", "expected a time zone such as"),
        ("CHANNEL", "https://app.example.com/", r"expected a URL with \{channel_url\} in it"),
        ("CHANNEL", "javascript:{channel_url}", "expected a URL"),
        ("LOGO", "logo.png", "expected the URL of an image"),
        ("COLOR", "blue", "should match pattern"),
        ("COLOR", "#12345g;x", "should match pattern"),
        ("PER_CONVERSATION", "0", "at least 1"),
        ("ASK_FOR_MEMBERS", "-1", "at least 0"),
    ],
)
def test_wrong(set_to, name, value, said):
    """A wrong value is told with its setting's name, what was expected, and a right value."""
    with pytest.raises(SettingsError, match=said) as raised:
        set_to(**{name: value})
    assert str(raised.value).startswith(f"OFFLINE_EMAIL_{name} is wrong: ")
    assert "A right value: " in str(raised.value)


def test_sql(set_to):
    """With addresses from SQL the URL and the query are needed."""
    with pytest.raises(SettingsError) as raised:
        set_to(ADDRESSES="sql")
    assert re.findall(r"^(\S+) is wrong", str(raised.value), re.MULTILINE) == [
        "OFFLINE_EMAIL_SQL_URL",
        "OFFLINE_EMAIL_SQL_QUERY",
    ]


def test_password(set_to):
    """The database's URL, which holds a password, is in no repr."""
    query = "SELECT email FROM people WHERE id = :user_id"
    settings = set_to(ADDRESSES="sql", SQL_URL="postgresql://u:secret@h/d", SQL_QUERY=query)
    assert "secret" not in repr(settings)


def test_examples():
    """Every setting is described, and its example is a right value."""
    for name, field in Settings.model_fields.items():
        assert field.description
        [example] = field.examples
        if name != "templates":
            Settings.load(**{name: example})


@pytest.mark.parametrize("url", ["https://a", "HTTP://a/b?c=d&e#f", "https://a/ü"])
def test_link(url):
    """http and https URLs are links."""
    assert is_link(url)


@pytest.mark.parametrize(
    "url", ["", "javascript:x", "https://", "https://a b", "https://a\n", 'https://a"b', "//a", " https://a"]
)
def test_no_link(url):
    """Others aren't, nor is what would end a line or an attribute."""
    assert not is_link(url)
