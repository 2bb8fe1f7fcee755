"""The way out for mails on a stage: they are kept, not sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.message import EmailMessage

from receiver.errors import MailRefused, MailUnavailable
from receiver.mail.connection import CONFIGURATION, SETTING_WAIT
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

    async def join(self, message_id: str) -> bool:
        """Nothing takes time here, so no send is running."""
        return False

    async def send(
        self, sender: str, recipient: str, message: EmailMessage, *, then: Callable[[], Awaitable[None]]
    ) -> None:
        """Take a message, and await `then()`; the addresses are bare.

        Raises:
            MailRefused: a planned fault with a status of 5xx that isn't about a setting.
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
            await asyncio.shield(asyncio.ensure_future(then()))
            return
        if fault.how == "answers":
            said = f"the stage's mail server answered {fault.status}"
            if fault.status in CONFIGURATION:
                raise MailUnavailable(said, status=fault.status, retry_after=SETTING_WAIT)
            refused = MailRefused if 500 <= fault.status < 600 else MailUnavailable
            raise refused(said, status=fault.status)
        raise MailUnavailable(f"the stage's mail server {fault.how}")

    async def aclose(self) -> None:
        """Nothing is open."""
