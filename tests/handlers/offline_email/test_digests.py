"""What a digest says, before it is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handlers.offline_email.digests import (
    Limits,
    Sender,
    by_channel,
    clip,
    compose,
    keep_standing,
    keep_unread,
    paragraphs,
    shown,
)
from receiver import MessageSent
from receiver.testing import make_event

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def message(text="hi", minute=0, channel="c1", **options):
    return make_event(MessageSent, text=text, at=NOON + timedelta(minutes=minute), channel=channel, **options)


def texts(messages):
    return [one.text for one in messages]


def digest_of(*messages, texts=None, **limits):
    return compose(by_channel(messages), texts or {}, Limits(**limits))


def test_by_channel():
    """Messages are grouped by channel, in their order; one that comes twice counts once."""
    one, two, other = message("one"), message("two"), message("other", channel="c2")
    groups = by_channel([one, other, two, one])
    assert {name: texts(group) for name, group in groups.items()} == {"c1": ["one", "two"], "c2": ["other"]}


def test_by_channel_without_ids():
    """Messages of 2016 have no id: equal ones may be two, and both are kept."""
    event = make_event(MessageSent, case="mesg-2016")
    assert len(by_channel([event, event])[event.conversation]) == 2


@pytest.mark.parametrize(
    ("unread", "kept"),
    [
        ({"c1": 0}, {}),
        ({}, {}),
        ({"c1": 1}, {"c1": ["b"]}),
        ({"c1": 2}, {"c1": ["a", "b"]}),
        ({"c1": 9}, {"c1": ["a", "b"]}),
    ],
)
def test_unread(unread, kept):
    """Of a channel the last messages are kept, as many as are unread; none, and the channel is left out."""
    channels = by_channel([message("a"), message("b")])
    assert {name: texts(group) for name, group in keep_unread(channels, unread).items()} == kept


def test_standing():
    """What was deleted is left out; of what nothing is known stays."""
    known, deleted, unknown = message("known"), message("deleted"), message("unknown")
    now = {known.message_id: "changed", deleted.message_id: None}
    assert texts(keep_standing([known, deleted, unknown], now)) == ["known", "unknown"]


def test_changed():
    """A message says what it says now."""
    event = message("before")
    assert digest_of(event, texts={event.message_id: "after"}).conversations[0].lines[0].text == "after"


def test_nothing():
    """Nothing unread is no digest."""
    assert digest_of() is None
    assert compose({"c1": []}, {}, Limits()) is None


def test_order_and_limits():
    """The conversation with the latest message is first; what is not shown is counted."""
    said = [
        message(f"c{channel} {n}", 10 * channel + n, f"c{channel}") for channel in range(4) for n in range(3)
    ]
    digest = digest_of(*said, conversations=2, per_conversation=1)
    assert [one.lines[0].text for one in digest.conversations] == ["c3 2", "c2 2"]
    assert [(one.earlier, one.count) for one in digest.conversations] == [(2, 3), (2, 3)]
    assert (digest.more, digest.count) == (2, 12)


@pytest.mark.parametrize(
    ("name", "expected"), [("Bakery", "Bakery"), ("Group Channel", ""), ("", ""), (" \n a  b ", "a b")]
)
def test_channel_name(name, expected):
    """A channel that nobody has named has no name."""
    event = message(channel={"channel_url": "c1", "name": name})
    assert digest_of(event).conversations[0].name == expected


def test_link():
    """The link of a conversation has its channel URL in it, escaped."""
    event = message(channel="a/b?c=ü&d")
    link = "https://app.example.com/{channel_url}/open"
    assert digest_of(event, channel=link).conversations[0].link == (
        "https://app.example.com/a%2Fb%3Fc%3D%C3%BC%26d/open"
    )
    assert digest_of(event).conversations[0].link == ""


def test_file():
    """A file is a link with a name and a size."""
    event = make_event(
        MessageSent,
        type="FILE",
        file={"url": "https://files.example.com/x?a=1&b=2", "filename": "plan.pdf", "content_size": 12},
    )
    [line] = digest_of(event).conversations[0].lines
    assert (line.file.name, line.file.url, line.file.size) == (
        "plan.pdf",
        "https://files.example.com/x?a=1&b=2",
        12,
    )


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//host/x", "https://a b", "ftp://a", "x"]
)
def test_file_that_is_no_link(url):
    """A URL that isn't http is no link; the file is named all the same."""
    event = make_event(MessageSent, type="FILE", file={"url": url, "filename": "plan.pdf"})
    [line] = digest_of(event).conversations[0].lines
    assert (line.file.name, line.file.url) == ("plan.pdf", "")


def test_text_is_hidden():
    """With OFFLINE_EMAIL_SHOW_TEXT=false neither texts nor files are in a digest, changed ones included."""
    event = make_event(MessageSent, type="FILE", case="file")
    digest = digest_of(event, message("secret"), texts={event.message_id: "secret"}, show_text=False)
    lines = [line for one in digest.conversations for line in one.lines]
    assert [(line.text, line.file) for line in lines] == [("", None)] * 2


def test_admin():
    """An admin message has no sender, and is known as one."""
    event = make_event(MessageSent, case="admm", text="Closed")
    [line] = digest_of(event).conversations[0].lines
    assert line.is_admin
    assert digest_of(event).senders == ()


def test_time():
    """A message's time is when it was sent; for those of 2016, when it was received."""
    assert digest_of(message(minute=3)).conversations[0].lines[0].at == NOON + timedelta(minutes=3)
    event = make_event(MessageSent, case="mesg-2016", received_at=NOON)
    assert digest_of(event).conversations[0].lines[0].at == NOON


@pytest.mark.parametrize(
    ("name", "initials"),
    [
        ("Ada Lovelace", "AL"),
        ("ada", "A"),
        ("Ada King Lovelace", "AL"),
        ("", "?"),
        ("🥐 ada", "A"),
        ("🥐", "?"),
        ("김 하늘", "김하"),
        ("ß", "SS"),
    ],
)
def test_initials(name, initials):
    """A sender without a picture has one or two letters."""
    assert Sender("u", name).initials == initials


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb", "a b"),
        ("a\u202eb\u2066c\ufeff", "abc"),
        ("a\x00b\x1bc", "a b c"),
        ("\ud83e!", "\ufffd!"),
        ("a\u2028b", "a b"),
        ("  a\t b ", "a b"),
        ("x" * 80, "x" * 59 + "…"),
    ],
)
def test_shown(text, expected):
    """A name is one line, with nothing in it that can't be seen, or that turns the text around it."""
    assert shown(text) == expected


def test_paragraphs():
    """A text keeps its lines, but no gaps of many lines."""
    assert paragraphs("\n a \r\nb\r\r\r\rc\x07\n\n") == "a\nb\n\nc"


@pytest.mark.parametrize(
    ("text", "longest", "expected"),
    [
        ("short", 5, "short"),
        ("some words here", 12, "some words…"),
        ("onelongword", 5, "onel…"),
        ("a bcdefghij", 8, "a bcdef…"),
        ("ab\u0301\u0301\u0301\u0301", 5, "ab…"),
    ],
)
def test_clip(text, longest, expected):
    """A text is cut between words where that isn't too early, and never within a letter."""
    assert clip(text, longest) == expected
