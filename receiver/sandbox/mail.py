"""An SMTP server that keeps what it gets, and misbehaves when told to: the sandbox's, and that of tests."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Literal, Self, cast
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from receiver.sandbox.mailbox import Mailbox, ReceivedMail
from receiver.sandbox.store import Store

LARGEST_MAIL = 25 * 1024 * 1024

Stage = Literal["CONNECT", "MAIL", "RCPT", "DATA", "DOT", "TAKEN"]
"""When a fault happens: instead of the greeting, of the answer to a command, or (DOT) to the mail's last
dot; TAKEN is after that answer. A mail is kept before DOT and TAKEN, unless it is refused there."""

# It logs every command at INFO, with the addresses, and warns of its own deprecations when someone logs in.
logging.getLogger("mail.log").setLevel(logging.ERROR)


@dataclass
class Fault:
    """What goes wrong the next `times` times: an answer, or (None) none; then hang or hang up."""

    stage: Stage
    answer: str | None
    hangs: bool
    times: int


class SmtpSink:
    """An SMTP server on this machine only. `async with SmtpSink() as sink: ... sink.url ... sink.mails`.

    Args:
        port: 0 is any free one; `url` tells which.
        tls: For STARTTLS, or with `implicit` for TLS from the first byte.
        credentials: User and password that are wanted before a mail is taken. None: anyone's are fine.
        smtputf8: Whether addresses may hold any letters (RFC 6531).
        mailbox: Where mails are kept. None: in memory.
        listener: A socket that listens already, instead of `port`.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        credentials: tuple[str, str] | None = None,
        smtputf8: bool = True,
        mailbox: Mailbox | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.port = port
        self.mailbox = mailbox or Mailbox(Store(None))
        self.commands: list[str] = []
        self.connections = 0
        self.encrypted: list[bool] = []
        self._tls = tls
        self._implicit = implicit
        self._credentials = credentials
        self._smtputf8 = smtputf8
        self._listener = listener
        self._faults: list[Fault] = []
        self._open: set[_Conversation] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """What to put into RECEIVER_SMTP_URL, credentials included."""
        scheme = "smtps" if self._implicit else "smtp"
        user = ":".join(quote(part, safe="") for part in self._credentials or ())
        return f"{scheme}://{user}{'@' if user else ''}127.0.0.1:{self.port}"

    @property
    def mails(self) -> list[ReceivedMail]:
        """What has come, the oldest first."""
        return self.mailbox.mails

    async def wait_for(
        self,
        count: int = 1,
        timeout: float = 10.0,  # noqa: ASYNC109 - a test that waits should be one line
    ) -> list[ReceivedMail]:
        """Return the mails once there are `count`; `timeout` is in seconds.

        Raises:
            AssertionError: there are fewer when the time is over.
        """
        return await self.mailbox.wait_for(count, timeout)

    def refuse(self, stage: Stage, code: int, words: str = "no", *, times: int = 1) -> None:
        """Answer `code words` at a stage, the next `times` times."""
        self._faults.append(Fault(stage, f"{code} {words}", hangs=True, times=times))

    def hang(self, stage: Stage, *, times: int = 1) -> None:
        """Don't answer at a stage."""
        self._faults.append(Fault(stage, None, hangs=True, times=times))

    def drop(self, stage: Stage, *, times: int = 1) -> None:
        """Hang up at a stage, without an answer (at TAKEN: after it)."""
        self._faults.append(Fault(stage, None, hangs=False, times=times))

    def drop_connections(self) -> None:
        """Hang up on all who are connected, as a server does with the idle."""
        for conversation in list(self._open):
            conversation.hang_up()

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        listener = self._listener or socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        tls = self._tls if self._implicit else None
        self._server = await loop.create_server(lambda: _Conversation(self, loop), sock=listener, ssl=tls)

    async def stop(self) -> None:
        """Hang up on everyone, and listen no more."""
        if self._server is not None:
            self._server.close()
            self.drop_connections()
            for conversation in list(self._open):
                await conversation.ended.wait()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    def fault(self, stage: Stage) -> Fault | None:
        """Return what is to go wrong now, and count it."""
        for fault in self._faults:
            if fault.stage == stage and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def options(self) -> dict[str, Any]:
        """Return what aiosmtpd is told of all this."""
        return {
            "data_size_limit": LARGEST_MAIL,
            "enable_SMTPUTF8": self._smtputf8,
            "hostname": "sandbox.localhost",
            "ident": "Sandbox",
            "tls_context": None if self._implicit else self._tls,
            "authenticator": self._authenticate,
            # Nothing leaves this machine; and what a sink without TLS wants may still be a password.
            "auth_require_tls": self._tls is not None and not self._implicit,
        }

    def wants_login(self, session: Session) -> bool:
        """Tell whether a mail is not to be taken from this session."""
        return self._credentials is not None and not session.authenticated

    def opened(self, conversation: _Conversation) -> None:
        """Count a connection."""
        self.connections += 1
        self._open.add(conversation)

    def closed(self, conversation: _Conversation) -> None:
        """Forget a connection."""
        self._open.discard(conversation)

    def _authenticate(self, *given: Any) -> AuthResult:
        login = given[-1]
        assert isinstance(login, LoginPassword)
        wanted = self._credentials
        right = wanted is None or (login.login, login.password) == tuple(part.encode() for part in wanted)
        return AuthResult(success=right, handled=False)


class _Conversation(SMTP):
    """One connection."""

    def __init__(self, sink: SmtpSink, loop: asyncio.AbstractEventLoop) -> None:
        self._sink = sink
        self.ended = asyncio.Event()
        super().__init__(_Handler(sink), loop=loop, **sink.options())

    def hang_up(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            cast(asyncio.WriteTransport, self.transport).abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.transport is None:  # else it is the same one, encrypted from here on
            self._sink.opened(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._sink.closed(self)
        super().connection_lost(error)
        self.ended.set()

    async def _handle_client(self) -> None:
        if not await self._went_wrong("CONNECT"):
            await super()._handle_client()

    # ruff: noqa: N802 - aiosmtpd finds these by their names
    async def smtp_MAIL(self, arg: str | None) -> None:
        self._sink.commands.append("MAIL")
        assert self.session is not None
        assert self.transport is not None
        self._sink.encrypted.append(self.transport.get_extra_info("sslcontext") is not None)
        if await self._went_wrong("MAIL"):
            return
        if self._sink.wants_login(self.session):
            await self.push("530 5.7.0 Authentication required")
            return
        await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:
        self._sink.commands.append("RCPT")
        if not await self._went_wrong("RCPT"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        self._sink.commands.append("DATA")
        if await self._went_wrong("DATA"):
            return
        await super().smtp_DATA(arg)
        await self._went_wrong("TAKEN")

    async def _went_wrong(self, stage: Stage) -> bool:
        fault = self._sink.fault(stage)
        if fault is None:
            return False
        if fault.answer is not None:
            await self.push(fault.answer)
            return True
        await self.stop_short(fault)
        return True

    async def stop_short(self, fault: Fault) -> None:
        """Hang up, or hang, for good: the end of the connection cancels this."""
        if not fault.hangs:
            self.hang_up()
        await asyncio.get_running_loop().create_future()


class _Handler:
    """What becomes of a mail."""

    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink

    async def handle_DATA(self, server: _Conversation, session: Session, envelope: Envelope) -> str:
        fault = self._sink.fault("DOT")
        if fault is not None and fault.answer is not None:
            return fault.answer
        assert isinstance(envelope.content, bytes)
        mail = await self._sink.mailbox.add(envelope.mail_from or "", envelope.rcpt_tos, envelope.content)
        if fault is not None:
            await server.stop_short(fault)
        return f"250 OK, it can be read in the sandbox as {mail.id}"
