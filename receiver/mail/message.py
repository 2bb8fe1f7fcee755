"""A mail, as a handler writes it, and the message that is made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from receiver.errors import MailRefused
from receiver.mail.headers import Wire
from receiver.mail_address import MailAddress, is_one_line

LONGEST_LINK = 900
"""Characters of an unsubscribe link: it can't be folded, and a line has at most 998."""
OURS = frozenset(
    {"from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "return-path"}
    | {"mime-version", "auto-submitted", "list-unsubscribe", "list-unsubscribe-post", "received"}
)
"""Headers that `headers` can't set: fields of `Mail` or the mailer do, or the mail has one recipient."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NAME = re.compile(r"[!-9;-~]{1,76}")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8}")
_LINK = re.compile(r"https?://[!-;=?-~]+")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one person.

    Its repr shows no address and nothing of what it says: that stays out of logs.

    Args:
        to: An address, or a name and an <address>.
        subject: One line.
        text: The mail as plain text.
        html: The same as HTML; a reader shows the one it prefers.
        headers: More headers, such as {"List-Id": "...", "References": "..."}.
        language: A language tag such as "fi" or "pt-BR", for Content-Language (RFC 3282).
        unsubscribe: A link (see `Mailer.unsubscribe_url`) for List-Unsubscribe (RFC 2369); if it is
            https, the reader's own button works with one click (RFC 8058).
        reply_to: Where answers go, if not to the sender: like `to`.

    Raises:
        MailRefused: a field can't be sent, such as a subject of two lines; the text names the field.
    """

    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    language: str | None = None
    unsubscribe: str | None = field(default=None, repr=False)
    reply_to: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", dict(self.headers))
        _address("to", self.to)
        if self.reply_to is not None:
            _address("reply_to", self.reply_to)
        if not is_one_line(self.subject):
            raise _wrong("subject", "one line, without control characters")
        for name, value in self.headers.items():
            # The name is not repeated where it may be anything.
            if not _NAME.fullmatch(name):
                raise _wrong("headers", "names of letters, digits and dashes")
            if name.lower() in OURS or name.lower().startswith("content-"):
                raise _wrong("headers", f"no {name}, which the mailer sets by itself")
            if not is_one_line(value):
                raise _wrong(f"headers[{name!r}]", "one line, without control characters")
        if self.language is not None and not _LANGUAGE.fullmatch(self.language):
            raise _wrong("language", "a language tag such as fi or pt-BR")
        link = self.unsubscribe
        if link is not None and not (len(link) <= LONGEST_LINK and _LINK.fullmatch(link)):
            raise _wrong("unsubscribe", "an https:// URL in ASCII, without spaces")

    @property
    def recipient(self) -> MailAddress:
        """Whom it goes to."""
        return MailAddress.parse(self.to)


def build(mail: Mail, sender: MailAddress, message_id: str) -> EmailMessage:
    """Make the message (RFC 5322) of a mail. `message_id` is without its angle brackets."""
    recipient = mail.recipient
    reply_to = MailAddress.parse(mail.reply_to) if mail.reply_to is not None else None
    addresses = [one.address for one in (sender, recipient, reply_to) if one is not None]
    message = EmailMessage(Wire(utf8=not "".join(addresses).isascii()))
    message["From"] = _header(sender)
    message["To"] = _header(recipient)
    if reply_to is not None:
        message["Reply-To"] = _header(reply_to)
    message["Subject"] = _whole(mail.subject)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{message_id}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers to it
    if mail.unsubscribe is not None:
        message["List-Unsubscribe"] = f"<{mail.unsubscribe}>"
        if mail.unsubscribe.startswith("https://"):
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for name, value in mail.headers.items():
        message[name] = _whole(value)
    message.set_content(_body(mail.text))
    if mail.html is not None:
        message.add_alternative(_body(mail.html), subtype="html")
    if mail.language is not None:  # last: `add_alternative` would move it to the first part
        message["Content-Language"] = mail.language
    return message


def _address(name: str, text: str) -> MailAddress:
    try:
        return MailAddress.parse(text)
    except ValueError as error:
        raise _wrong(name, str(error).removeprefix("expected ")) from None


def _wrong(name: str, expected: str) -> MailRefused:
    return MailRefused(f"the mail's {name} can't be sent: expected {expected}")


def _header(address: MailAddress) -> Address:
    user, _, domain = address.address.rpartition("@")
    return Address(" ".join(_whole(address.name).split()), user, domain)


def _body(text: str) -> str:
    return _CONTROL.sub("\ufffd", _whole(text))


def _whole(text: str) -> str:
    """Replace half characters: Sendbird cuts messages anywhere, and no encoding has half an emoji."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
