"""The SMTP server that keeps no mail, but counts and checks each."""

from __future__ import annotations

import time
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP, Envelope, Session


class Post:
    """An SMTP server's handler that counts mails by recipient, and those that came twice."""

    def __init__(self) -> None:
        self.by_reader: dict[str, int] = {}
        self.message_ids: set[str] = set()
        self.twice = 0
        self.bytes = 0
        self.last = 0.0
        self.first = 0.0
        self.sample: EmailMessage | None = None

    @property
    def mails(self) -> int:
        """How many came."""
        return sum(self.by_reader.values())

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.sample = self.sample or mail
        self.twice += mail["message-id"] in self.message_ids
        self.message_ids.add(mail["message-id"])
        self.by_reader[envelope.rcpt_tos[0]] = self.by_reader.get(envelope.rcpt_tos[0], 0) + 1
        self.bytes += len(content)
        self.last = time.perf_counter()
        self.first = self.first or self.last
        return "250 OK"
