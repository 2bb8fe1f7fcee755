"""Sending mails from a handler: each once, as far as that can be known."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

from receiver import settings
from receiver.effects import Effects, remember
from receiver.errors import MailUnavailable
from receiver.mail.connection import SETTING_WAIT
from receiver.mail.message import Mail, build
from receiver.mail.rate import Rate
from receiver.mail.smtp import Smtp
from receiver.mail.unsubscribe import OptOuts, Subscription, Tokens
from receiver.mail_address import MailAddress
from receiver.settings import Settings
from receiver.smtp_url import SmtpUrl

MARK = "\x00mail "
"""What the keys of mails begin with: nothing that a handler would call an effect in `context.once`."""


class MailRoom:
    """What one process keeps for sending mails; `client` is its asynchronous Redis.

    Nothing is opened before the first mail, and nothing has to be set: who sends without a server is
    told which setting is missing.
    """

    def __init__(self, config: Settings, client: Any) -> None:
        rate = Rate(client, config.mail_rate) if config.mail_rate else None
        self.transport = Smtp(SmtpUrl.parse(config.smtp_url), rate=rate) if config.smtp_url else None
        self.sender = MailAddress.parse(config.mail_from) if config.mail_from else None
        self.public_url = config.public_url
        self.tokens = Tokens(config.api_keys)
        self.opt_outs = OptOuts(client)

    def mailer(self, effects: Effects, delivery: str) -> Mailer:
        """Return the mailer for one attempt of `delivery`, a name that is the same in every attempt."""
        return Mailer(self, effects, delivery)

    async def aclose(self) -> None:
        """Close the connections."""
        if self.transport is not None:
            await self.transport.aclose()


class Mailer:
    """What a handler sends mails with: `context.mailer`."""

    __slots__ = ("_delivery", "_effects", "_mails", "_room")

    def __init__(self, room: MailRoom, effects: Effects, delivery: str) -> None:
        self._room = room
        self._effects = effects
        self._delivery = delivery
        self._mails = 0

    async def send(self, mail: Mail, *, key: str | None = None) -> None:
        """Send a mail, unless an earlier attempt of this delivery has sent it.

        The n-th mail of a delivery is the same mail in every attempt: it has the same Message-ID, and is
        sent again only if it is unknown whether it was sent. Where the order may differ between
        attempts, give each mail a `key`, such as the recipient's user id.

        Raises:
            MailRefused: it can't be sent, or the server refused it for good: a dead letter.
            MailUnavailable: not now; raise it (or don't catch it) to have another attempt.
        """
        self._mails += 1
        name = str(self._mails) if key is None else f"key {key}"
        digest = hashlib.blake2b(f"{self._delivery}:{name}".encode(), digest_size=16).hexdigest()
        transport, sender = self._room.transport, self._room.sender
        # First of all: what has just ended is remembered, what is running isn't yet.
        if transport and sender and await transport.join(f"<{digest}@{sender.domain}>"):
            return
        if await self._effects.happened(MARK + name):
            return
        if transport is None:
            raise _unset("smtp_url", "Without a server no mail can be sent.")
        if sender is None:
            raise _unset("mail_from", "A mail needs a sender.")
        message = build(mail, sender, f"{digest}@{sender.domain}")
        then = partial(remember, self._effects, MARK + name)
        await transport.send(sender.address, mail.recipient.address, message, then=then)

    def unsubscribe_url(self, list_name: str, user_id: str) -> str | None:
        """Return the link by which a user unsubscribes from a list of mails, for `Mail.unsubscribe`.

        None if there is no RECEIVER_PUBLIC_URL to begin it with, or no SENDBIRD_API_TOKEN to sign it.

        Raises:
            ValueError: the list's name is empty, too long or not printable.
        """
        subscription = Subscription(list_name, user_id)
        if self._room.public_url is None or not self._room.tokens:
            return None
        return f"{self._room.public_url}/unsubscribe/{self._room.tokens.sign(subscription)}"

    async def is_unsubscribed(self, list_name: str, user_id: str) -> bool:
        """Tell whether a user has unsubscribed from a list of mails.

        Raises:
            ValueError: the list's name is empty, too long or not printable.
        """
        return await self._room.opt_outs.contains(Subscription(list_name, user_id))


def _unset(name: str, why: str) -> MailUnavailable:
    return MailUnavailable(str(settings.missing(name, why)), retry_after=SETTING_WAIT)
