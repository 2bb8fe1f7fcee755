"""One connection to an SMTP server, and one mail over it."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from typing import NoReturn

import aiosmtplib
from aiosmtplib import SMTPAuthenticationError, SMTPException, SMTPResponseException

from receiver.errors import MailError, MailRefused, MailUnavailable
from receiver.smtp_url import SmtpUrl

MEETS_WITHIN = 10.0
ANSWERS_WITHIN = 15.0
TAKES_WITHIN = 60.0
"""Seconds for connecting (each step of it), for an answer to a command, and for taking a mail."""
LONGEST_WORDS = 500
"""Characters of a server's words that are kept."""

CONFIGURATION = frozenset({530, 534, 535, 538})
"""Replies about who we are, not about the mail (RFC 4954, 6). No mail may die of them at once."""
SETTING_WAIT = 60.0
"""Seconds until a mail that failed because of a setting is tried again."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A mail on its way: from whom, to whom, and the message as it travels. Its repr shows the size only."""

    sender: str
    recipient: str
    content: bytes
    needs_utf8: bool

    def __repr__(self) -> str:
        return f"Envelope({len(self.content)} bytes)"


class Broken(Exception):
    """The connection can't be used, and the mail was certainly not taken: it may go over another one."""

    def __init__(self, error: MailUnavailable) -> None:
        super().__init__(str(error))
        self.error = error


class Connection:
    """A connection that has been greeted, encrypted and authenticated as the URL wants it."""

    def __init__(self, url: SmtpUrl, smtp: aiosmtplib.SMTP) -> None:
        self._url = url
        self._smtp = smtp

    @classmethod
    async def open(cls, url: SmtpUrl, tls: ssl.SSLContext, hostname: str) -> Connection:
        """Connect.

        Raises:
            MailUnavailable: there is no such server, or it doesn't let us in.
        """
        smtp = aiosmtplib.SMTP(
            hostname=url.host,
            port=url.port,
            use_tls=url.tls == "implicit",
            start_tls={"required": True, "offered": None}.get(url.tls, False),
            username=url.user or None,
            password=url.password or None,
            tls_context=tls,
            local_hostname=hostname,
            timeout=MEETS_WITHIN,
        )
        try:
            await smtp.connect()
        except SMTPAuthenticationError as error:
            raise _not_let_in(url, error.code, error.message) from None
        except SMTPResponseException as error:
            said = f"{url} (RECEIVER_SMTP_URL) greets with {_said(error.code, error.message)}"
            raise MailUnavailable(said, status=error.code) from None
        except ssl.SSLError as error:
            raise _unreachable(url, error) from None
        except (SMTPException, OSError, TimeoutError) as error:
            raise _unreachable(url, error.__cause__ or error) from None
        return cls(url, smtp)

    @property
    def is_open(self) -> bool:
        """Tell whether the server hasn't hung up, as far as is known."""
        return self._smtp.is_connected

    def close(self) -> None:
        """Hang up."""
        self._smtp.close()

    async def quit(self) -> None:
        """Take leave (RFC 5321, 4.1.1.10), and hang up."""
        try:
            await self._smtp.quit(timeout=1.0)
        except (SMTPException, OSError, TimeoutError):
            self.close()

    async def send(self, envelope: Envelope) -> None:
        """Hand over a mail. After an error the connection is open only if it can be used again.

        Raises:
            Broken: the connection failed before the mail's last dot was sent.
            MailRefused: the server refused it for good.
            MailUnavailable: the server refused it for now; or it is unknown whether it took it.
        """
        try:
            await self._announce(envelope)
            await self._transfer(envelope.content)
        except MailError as error:
            if error.status == 421:
                self.close()
            if self.is_open:
                await self._reset()
            raise
        except BaseException:  # cancelled amid a dialogue: what comes next would be misread
            self.close()
            raise

    async def _announce(self, envelope: Envelope) -> None:
        smtp = self._smtp
        options = [f"SIZE={len(envelope.content)}"] if smtp.supports_extension("size") else []
        if envelope.needs_utf8:
            if not smtp.supports_extension("smtputf8"):
                raise MailRefused(
                    f"{self._url} takes no addresses with letters beyond ASCII (SMTPUTF8, RFC 6531)"
                )
            options.append("SMTPUTF8")
        encoding = "utf-8" if envelope.needs_utf8 else "ascii"
        try:
            await smtp.mail(envelope.sender, options=options, encoding=encoding, timeout=ANSWERS_WITHIN)
        except SMTPResponseException as error:
            self._refused("the sender (RECEIVER_MAIL_FROM)", error.code, error.message)
        except (SMTPException, OSError, TimeoutError) as error:
            raise self._broken(error) from None
        try:
            await smtp.rcpt(envelope.recipient, encoding=encoding, timeout=ANSWERS_WITHIN)
            answer = await smtp.execute_command(b"DATA", timeout=ANSWERS_WITHIN)
        except SMTPResponseException as error:
            self._refused("the recipient", error.code, error.message)
        except (SMTPException, OSError, TimeoutError) as error:
            raise self._broken(error) from None
        if answer.code != 354:
            self._refused("the mail", answer.code, answer.message)

    async def _transfer(self, content: bytes) -> None:
        protocol = self._smtp.protocol
        if protocol is None:  # the server answered 354, and hung up
            raise self._broken(ConnectionResetError("the server hung up"))
        stuffed = re.sub(rb"(?m)^\.", b"..", content)  # RFC 5321, 4.5.2
        end = b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n"
        try:
            # aiosmtplib's own data() doesn't tell a failure before the last dot from one after it.
            protocol.write(stuffed + end)
            answer = await protocol.read_response(timeout=TAKES_WITHIN)
        except SMTPResponseException as error:  # an answer that is none
            self._unknown(_said(error.code, error.message))
        except (SMTPException, OSError, TimeoutError) as error:
            self._unknown(_reason(error))
        if answer.code != 250:
            self._refused("the mail", answer.code, answer.message, sent=True)

    async def _reset(self) -> None:
        try:
            await self._smtp.rset(timeout=ANSWERS_WITHIN)
        except (SMTPException, OSError, TimeoutError):
            self.close()

    def _refused(self, what: str, code: int, words: str, *, sent: bool = False) -> NoReturn:
        if code in CONFIGURATION:
            raise _not_let_in(self._url, code, words) from None
        said = f"{self._url} refuses {what}: {_said(code, words)}"
        if 500 <= code <= 599:
            raise MailRefused(said, status=code) from None
        if code == 421 and not sent:  # "closing transmission channel" (RFC 5321, 3.8): another may do
            self.close()
            raise Broken(MailUnavailable(said, status=code)) from None
        raise MailUnavailable(said, status=code) from None

    def _broken(self, error: BaseException) -> Broken:
        self.close()
        said = f"the connection to {self._url} failed before the mail was sent: {_reason(error)}"
        return Broken(MailUnavailable(said))

    def _unknown(self, reason: str) -> NoReturn:
        self.close()
        raise MailUnavailable(
            f"unknown outcome: the mail was sent to {self._url}, and no answer came ({reason}). It may have "
            "been taken; another attempt sends it again, with the same Message-ID."
        ) from None


def _not_let_in(url: SmtpUrl, code: int, words: str) -> MailUnavailable:
    return MailUnavailable(
        f"{url} doesn't let us in: {_said(code, words)}. Are user and password in RECEIVER_SMTP_URL right?",
        status=code,
        retry_after=SETTING_WAIT,
    )


def _unreachable(url: SmtpUrl, error: BaseException) -> MailUnavailable:
    return MailUnavailable(f"{url} (RECEIVER_SMTP_URL) can't be used: {_reason(error)}")


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, asyncio.TimeoutError | TimeoutError):
        return "no answer in time"
    return _readable(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _said(code: int, words: str) -> str:
    return f"{code} {_readable(words)}"


def _readable(words: str) -> str:
    return "".join(one if one.isprintable() else " " for one in words)[:LONGEST_WORDS].strip()
