"""From a reader and a letter to the mail that is sent."""

from __future__ import annotations

import re

from handlers.offline_email.digests import shown
from handlers.offline_email.mail import Letter
from handlers.offline_email.readers import Reader
from receiver import Mail, MailRefused, Permanent

_SPECIAL = re.compile(r'[<>"\\]')


def mail_to(reader: Reader, user_id: str, letter: Letter, unsubscribe: str | None) -> Mail:
    """Return the mail.

    Raises:
        Permanent: it can't be sent, such as to an address that is none. The message holds neither the
            address nor what the mail says.
    """
    name = " ".join(_SPECIAL.sub(" ", shown(reader.name)).split())
    is_whole = not name or "<" in reader.address
    try:
        return Mail(
            to=reader.address if is_whole else f"{name} <{reader.address}>",
            subject=letter.subject,
            text=letter.text,
            html=letter.html,
            language=letter.language,
            unsubscribe=unsubscribe,
        )
    except MailRefused as error:
        raise Permanent(f"no mail can go to the user {user_id}: {error}") from None
