"""Mails that the sandbox took, the newest of them."""

from __future__ import annotations

import asyncio
import base64
import email
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from functools import cached_property
from typing import Any

from receiver.sandbox.store import Store
from receiver.sandbox.views import Json

MOST = 500
MOST_BYTES = 64 * 1024 * 1024

_EXCERPT = 120


@dataclass(frozen=True)
class ReceivedMail:
    """A mail as it came: the envelope, and the bytes. `received_at` is in milliseconds since the epoch.

    What is read from it is never refused: an odd mail shows what can be made of it.
    """

    id: str
    received_at: int
    mail_from: str
    rcpt_tos: tuple[str, ...]
    content: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        return email.message_from_bytes(self.content, _class=EmailMessage, policy=default)

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """The headers in order, decoded."""
        found = []
        for name, raw in self.message.raw_items():
            try:
                value = str(default.header_fetch_parse(name, raw))
            except Exception:  # the standard library's parser fails in many ways at what strangers write
                value = str(raw)
            found.append((name, _shown(re.sub(r"\s*[\r\n]\s*", " ", value))))
        return found

    def header(self, name: str) -> str:
        """Return the first header called `name`, or ""."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.header("Subject")

    @property
    def message_id(self) -> str:
        """Its Message-ID, with angle brackets."""
        return self.header("Message-ID")

    @cached_property
    def text(self) -> str | None:
        """The plain text, or None."""
        return self._body("plain")

    @cached_property
    def html(self) -> str | None:
        """The HTML, or None."""
        return self._body("html")

    @cached_property
    def source(self) -> str:
        """The bytes as text."""
        return _shown(self.content.decode("utf-8", "replace").replace("\r\n", "\n"))

    @cached_property
    def unsubscribe(self) -> str | None:
        """The link of List-Unsubscribe that can be opened in a browser, or None."""
        found = re.search(r"<\s*(https?://[^<>\s]+)\s*>", self.header("List-Unsubscribe"))
        return found[1] if found else None

    def to_json(self) -> Json:
        """Return it as `GET /mail.json` lists it."""
        return {
            "id": self.id,
            "received_at": self.received_at,
            "mail_from": self.mail_from,
            "rcpt_tos": list(self.rcpt_tos),
            "from": self.header("From"),
            "to": self.header("To"),
            "subject": self.subject,
            "message_id": self.message_id,
            "unsubscribe": self.unsubscribe,
            "text": self.text,
            "html": self.html,
            "size": len(self.content),
        }

    def summary(self) -> Json:
        """Return what a list shows of it."""
        fields = self.to_json()
        text = " ".join((fields.pop("text") or "").split())
        del fields["html"]
        return fields | {"excerpt": text[:_EXCERPT]}

    def _body(self, kind: str) -> str | None:
        for part in self.message.walk():
            if part.get_content_type() != f"text/{kind}" or part.get_filename():
                continue
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            charset = part.get_content_charset("utf-8")
            try:
                text = payload.decode(charset, "replace")
            except LookupError:
                text = payload.decode("latin-1")
            return _shown(text.replace("\r\n", "\n"))
        return None


class Mailbox:
    """The newest mails, kept in a store, and watched."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.on_change: Callable[[], None] = lambda: None
        self._news = asyncio.Condition()
        self._mails = {
            mail.id: mail for mail in sorted(map(_load, store.all("mail")), key=lambda one: one.id)
        }
        self._last = 0

    @property
    def mails(self) -> list[ReceivedMail]:
        """All of them, the oldest first."""
        return list(self._mails.values())

    def find(self, mail_id: str) -> ReceivedMail | None:
        """Return a mail, or None."""
        return self._mails.get(mail_id)

    async def add(self, mail_from: str, rcpt_tos: list[str], content: bytes) -> ReceivedMail:
        """Keep a mail, and drop the oldest ones beyond `MOST` and `MOST_BYTES`."""
        self._last = max(self._last + 1, time.time_ns() // 1_000)
        mail = ReceivedMail(f"{self._last:x}", self._last // 1000, mail_from, tuple(rcpt_tos), content)
        self._mails[mail.id] = mail
        self._store.put("mail", mail.id, _document(mail))
        size = sum(len(one.content) for one in self._mails.values())
        while len(self._mails) > MOST or (size > MOST_BYTES and len(self._mails) > 1):
            oldest = next(iter(self._mails.values()))
            size -= len(oldest.content)
            self._forget(oldest)
        self.on_change()
        async with self._news:
            self._news.notify_all()
        return mail

    def clear(self) -> None:
        """Drop all."""
        for mail in self.mails:
            self._forget(mail)
        self.on_change()

    async def wait_for(self, count: int, within: float) -> list[ReceivedMail]:
        """Return the mails once there are `count`; `within` is in seconds.

        Raises:
            AssertionError: there are fewer when the time is over.
        """
        try:
            async with asyncio.timeout(within), self._news:
                await self._news.wait_for(lambda: len(self._mails) >= count)
        except TimeoutError:
            came = [mail.subject for mail in self.mails]
            raise AssertionError(
                f"after {within:g} s there are {len(came)} mails, not {count}: {came}"
            ) from None
        return self.mails

    def _forget(self, mail: ReceivedMail) -> None:
        del self._mails[mail.id]
        self._store.remove("mail", mail.id)


def _document(mail: ReceivedMail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "received_at": mail.received_at,
        "mail_from": mail.mail_from,
        "rcpt_tos": mail.rcpt_tos,
        "content": base64.b64encode(mail.content).decode(),
    }


def _load(document: dict[str, Any]) -> ReceivedMail:
    content = base64.b64decode(document.pop("content"))
    return ReceivedMail(**document | {"rcpt_tos": tuple(document["rcpt_tos"]), "content": content})


def _shown(text: str) -> str:
    """Make sure that a text can be encoded, whatever it was decoded from."""
    return text.encode("utf-8", "replace").decode()
