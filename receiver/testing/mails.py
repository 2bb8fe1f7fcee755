"""The way out for mails on a stage: they are kept, not sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage

from receiver.errors import MailRefused, MailUnavailable
from receiver.testing.faults import Faults


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail that a handler has sent. `to` and `sender` are bare addresses; `message` is all of it."""

    to: str
    sender: str
    subject: str
    text: str
    html: str | None
    message: EmailMessage = field(repr=False, compare=False)

    @property
    def message_id(self) -> str:
        """Its Message-ID: the same one on every attempt."""
        return str(self.message["Message-ID"])


class Post:
    """Takes mails as an SMTP server would; fails if told to."""

    def __init__(self, faults: Faults, taken: Callable[[SentMail], None]) -> None:
        self._faults = faults
        self._taken = taken

    async def send(self, sender: str, recipient: str, message: EmailMessage) -> None:
        """Take a message; the addresses are bare.

        Raises:
            MailRefused: a planned fault with a status of 5xx.
            MailUnavailable: any other planned fault.
        """
        fault = self._faults.next("mail")
        if fault is None or fault.how == "loses the answer":
            text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
            mail = SentMail(
                to=recipient,
                sender=sender,
                subject=str(message["Subject"]),
                text=str(text.get_content()) if text is not None else "",
                html=str(html.get_content()) if html is not None else None,
                message=message,
            )
            self._taken(mail)
        if fault is None:
            return
        if fault.how == "answers":
            refused = MailRefused if 500 <= fault.status < 600 else MailUnavailable
            raise refused(f"the stage's mail server answered {fault.status}", status=fault.status)
        raise MailUnavailable(f"the stage's mail server {fault.how}")

    async def aclose(self) -> None:
        """Nothing is open."""
