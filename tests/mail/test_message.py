"""The message that is made of a mail."""

from __future__ import annotations

import email
import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver.errors import MailRefused, Permanent
from receiver.mail.headers import Wire
from receiver.mail.message import OURS, Mail, build
from receiver.mail_address import MailAddress, is_one_line
from tests.mail.conftest import SENDER

LINK = "https://chat.example.com/unsubscribe/" + "a" * 200


def parsed(mail, sender=SENDER):
    """Build a mail, and read it as a mail program does."""
    return email.message_from_bytes(build(mail, sender, "1@example.com").as_bytes(), policy=default)


def test_headers():
    """A message has the headers that every mail must have, and says that no human wrote it."""
    found = parsed(Mail("Ada <ada@example.com>", "Hello", "text", reply_to="grace@example.com"))
    assert found["from"] == "Chat <chat@example.com>"
    assert found["to"] == "Ada <ada@example.com>"
    assert found["reply-to"] == "grace@example.com"
    assert found["subject"] == "Hello"
    assert found["message-id"] == "<1@example.com>"
    assert found["auto-submitted"] == "auto-generated"
    assert found["mime-version"] == "1.0"
    assert abs(found["date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)


def test_text_only():
    """Without HTML it is plain text."""
    found = parsed(Mail("ada@example.com", "Hello", "Grüße 👋\nzwei\n"))
    assert found.get_content_type() == "text/plain"
    assert found.get_content() == "Grüße 👋\r\nzwei\r\n"


def test_html():
    """With HTML a reader has both to choose from, the better one last (RFC 2046, 5.1.4)."""
    found = parsed(Mail("ada@example.com", "Hello", "text", "<p>Grüße</p>", language="pt-BR"))
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]
    assert found.get_body(("html",)).get_content() == "<p>Grüße</p>\r\n"
    assert found["content-language"] == "pt-BR"


@pytest.mark.parametrize(("link", "post"), [(LINK, "List-Unsubscribe=One-Click"), ("http" + LINK[5:], None)])
def test_unsubscribe(link, post):
    """A long link stays whole in its header; one click is offered over https only, as RFC 8058 wants."""
    found = build(Mail("ada@example.com", "Hello", "text", unsubscribe=link), SENDER, "1@example.com")
    assert f"\r\nList-Unsubscribe: <{link}>\r\n" in found.as_bytes().decode()
    assert found["list-unsubscribe-post"] == post


def test_more_headers():
    """Further headers are added as they are."""
    headers = {"List-Id": "Chat <c.example.com>", "X-A": "ü"}
    found = parsed(Mail("ada@example.com", "Hi", "x", headers=headers))
    assert (found["list-id"], found["x-a"]) == ("Chat <c.example.com>", "ü")


BREAKS = ["\n", "\r", "\r\n", "\x00", "\x0b", "\x0c", "\x1c", "\x1e", "\x7f", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("broken", BREAKS, ids=lambda one: one.encode("unicode-escape").decode())
@pytest.mark.parametrize(
    "name", ["to", "subject", "reply_to", "language", "unsubscribe", "header", "header name"]
)
def test_injection(name, broken):
    """A line break or control character in any field of the head is refused, and the field named."""
    evil = f"a{broken}Bcc: evil@example.com"
    fields = {
        "to": {"to": f"{evil} <ada@example.com>"},
        "subject": {"subject": evil},
        "reply_to": {"reply_to": f"{evil} <ada@example.com>"},
        "language": {"language": f"en{broken}"},
        "unsubscribe": {"unsubscribe": f"https://example.com/{broken}"},
        "header": {"headers": {"X-A": evil}},
        "header name": {"headers": {f"X-A: x{broken}Bcc": "evil@example.com"}},
    }[name]
    with pytest.raises(MailRefused, match=rf"^the mail's {name.split()[0]}") as caught:
        Mail(**{"to": "ada@example.com", "subject": "s", "text": "t"} | fields)
    assert isinstance(caught.value, Permanent)
    assert "evil" not in str(caught.value)


def test_hidden_injection():
    """A line break that hides in an encoded word stays in there."""
    hidden = "=?utf-8?q?a=0D=0ABcc=3A_evil=40example=2Ecom?="
    mail = Mail(f"{hidden} <ada@example.com>", hidden, "text", headers={"X-A": hidden}, language="en")
    content = build(mail, SENDER, "1@example.com").as_bytes()
    assert not re.search(rb"(?im)^bcc:", content)
    assert b"evil" not in content
    found = email.message_from_bytes(content, policy=default)
    assert (found["subject"], found["x-a"]) == (hidden, hidden)


@pytest.mark.parametrize(("name", "value"), [("X-A", "a\r\nBcc: evil"), ("X-A: a\nBcc", "evil")])
def test_last_resort(name, value):
    """A header of two lines isn't written, whoever has set it."""
    message = EmailMessage(Wire())
    message[name] = value
    with pytest.raises(ValueError, match="has a line break in it"):
        message.as_bytes()


@pytest.mark.parametrize(
    "name", [*sorted(OURS), "CC", "Content-Type", "content-language", "", "a b", "ü", "a:b"]
)
def test_reserved_headers(name):
    """Headers that the mailer sets, or that would lie about who gets the mail, can't be set."""
    with pytest.raises(MailRefused, match=r"^the mail's headers can't be sent: "):
        Mail("ada@example.com", "s", "t", headers={name: "x"})


@pytest.mark.parametrize(
    "link", ["ftp://x", "https://", "https://a b", "https://a>b", "https://ü", "https://" + "a" * 900]
)
def test_wrong_link(link):
    """A link that doesn't fit its header is refused."""
    with pytest.raises(MailRefused, match="the mail's unsubscribe can't be sent"):
        Mail("ada@example.com", "s", "t", unsubscribe=link)


def test_half_characters():
    """Half an emoji, which Sendbird cuts at times, does not keep a mail back."""
    found = parsed(Mail("A\ud83d <ada@example.com>", "cut \ud83d", "cut \ud83d\x00", "<p>\udc4b</p>"))
    assert found["subject"] == "cut \ufffd"
    assert found.get_body(("plain",)).get_content() == "cut \ufffd\ufffd\r\n"


def test_repr():
    """A mail's repr shows nothing of what it says, nor to whom."""
    mail = Mail("hush@example.com", "hush", "hush", "hush", {"X-A": "hush"}, "en", "https://hush", "hush@x.y")
    assert "hush" not in repr(mail)


def test_changed_later():
    """What is done to the headers after the mail was made is no part of it."""
    headers = {"X-A": "a"}
    mail = Mail("ada@example.com", "s", "t", headers=headers)
    headers["Bcc"] = "evil@example.com"
    assert "bcc" not in build(mail, SENDER, "1@example.com")


LINE = st.text(st.characters(exclude_categories=["Cs"])).filter(is_one_line)


@example(name="ä👋" * 40, subject="ä👋 " * 40, value="a" * 2000, text="", html=None)
@example(name="=?utf-8?q?a?=", subject="=?utf-8?q?a?=", value="x =?utf-8?q?a?=", text="", html=None)
@example(name='a" <b@c>, d', subject=" ", value="a " * 500, text="\r", html="")
@given(name=LINE, subject=LINE, value=LINE, text=st.text(), html=st.none() | st.text())
def test_whatever_people_write(name, subject, value, text, html):
    """Whatever a name, a subject or a text is made of, the mail goes to one person, and reads as written."""
    mail = Mail(f"{name} <ada@example.com>", subject, text, html, {"X-A": value})
    sender = MailAddress("chat@example.com", name)
    content = build(mail, sender, "1@example.com").as_bytes()
    assert content.isascii()
    head, _, _ = content.partition(b"\r\n\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)
    assert max(map(len, content.split(b"\r\n"))) <= 998
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith(b" ")]
    wanted = [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted", b"X-A"]
    assert names[: len(wanted)] == wanted
    found = email.message_from_bytes(content, policy=default)
    for header, address in (("to", "ada@example.com"), ("from", "chat@example.com")):
        [person] = found[header].addresses
        assert person.addr_spec == address
        # Python's own parser leaves a space between encoded words of a name (RFC 2047, 6.2: none).
        assert "".join(person.display_name.split()) == "".join(mail.recipient.name.split())
    assert found["subject"].split() == subject.split()
    assert found["x-a"].split() == value.split()
    types = {"text/plain"} if html is None else {"text/plain", "text/html", "multipart/alternative"}
    assert {part.get_content_type() for part in found.walk()} == types
