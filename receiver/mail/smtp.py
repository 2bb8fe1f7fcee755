"""The way out: the connections of one process to its SMTP server."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.message import EmailMessage

from receiver.mail.connection import Broken, Connection, Envelope
from receiver.mail.rate import Rate
from receiver.smtp_url import SmtpUrl

MOST_CONNECTIONS = 4
IDLE_FOR = 20.0
"""Seconds after which a connection that nobody needs is closed."""


async def _nothing() -> None:
    pass


class Smtp:
    """Hands mails to an SMTP server, over a few connections that are used again.

    A connection that a server has dropped while it was idle costs nothing: the mail goes over a new one.
    It is sent over another one only if its last dot wasn't sent, so a drop never doubles it.

    Args:
        url: The server, see `SmtpUrl`.
        rate: How many mails may leave per second. None: as many as the server takes.
        tls: How to check the server's certificate. None: by the machine's authorities.
    """

    def __init__(self, url: SmtpUrl, *, rate: Rate | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._url = url
        self._rate = rate
        self._tls = tls
        self._hostname = ""
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._idle: dict[Connection, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._running: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"Smtp({self._url})"

    async def join(self, message_id: str) -> bool:
        """Wait for the end of the send of this Message-ID; False if none is running.

        Raises:
            MailError: it failed.
        """
        task = self._running.get(message_id)
        if task is None:
            return False
        await asyncio.wait([task])  # unlike awaiting it, this doesn't cancel it
        task.result()
        return True

    async def send(
        self,
        sender: str,
        recipient: str,
        message: EmailMessage,
        *,
        then: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """Hand over a message, and await `then()`; `sender` and `recipient` are bare addresses.

        Waiting for a connection can be cancelled. From then on both run to their end, whoever waits for
        them: a mail that is cut off after its last dot would be sent again. Another call with the same
        Message-ID waits for them instead of sending.

        Raises:
            MailRefused: the server refused it for good (5xx).
            MailUnavailable: the server refused it for now (4xx), doesn't let us in, or can't be reached;
                its turn is not now (`RECEIVER_MAIL_RATE`); or it is unknown whether the server took it,
                and the text says so.
        """
        content = message.as_bytes()
        # What `build` makes is ASCII, unless an address in a header isn't.
        needs_utf8 = not (content.isascii() and (sender + recipient).isascii())
        envelope = Envelope(sender, recipient, content, needs_utf8)
        message_id = str(message["Message-ID"])
        if await self.join(message_id):
            return
        if self._rate is not None:
            await self._rate.wait(message_id)
        await self._free.acquire()
        if message_id in self._running:
            self._free.release()
        else:
            task = asyncio.create_task(self._finish(envelope, then))
            self._running[message_id] = task
            task.add_done_callback(lambda task: self._ended(message_id, task))
        await self.join(message_id)

    async def aclose(self) -> None:
        """Wait for the sends that are running, and close the connections."""
        if self._running:
            await asyncio.wait(list(self._running.values()))
        for connection in list(self._idle):
            self._leave(connection)
        await asyncio.gather(*self._leaving)

    async def _finish(self, envelope: Envelope, then: Callable[[], Awaitable[None]]) -> None:
        try:
            await self._send(envelope)
        finally:
            self._free.release()
        await then()

    def _ended(self, message_id: str, task: asyncio.Task[None]) -> None:
        del self._running[message_id]
        if not task.cancelled():
            task.exception()  # who waited for it may be gone: it is no news then

    async def _send(self, envelope: Envelope) -> None:
        while connection := self._take_idle():
            with suppress(Broken):  # it was used before: the server may just have closed it
                await self._send_over(connection, envelope)
                return
        connection = await self._open()
        try:
            await self._send_over(connection, envelope)
        except Broken as broken:
            raise broken.error from None

    async def _send_over(self, connection: Connection, envelope: Envelope) -> None:
        try:
            await connection.send(envelope)
        finally:
            if connection.is_open:
                timer = asyncio.get_running_loop().call_later(IDLE_FOR, self._leave, connection)
                self._idle[connection] = timer

    async def _open(self) -> Connection:
        if self._tls is None:
            self._tls = await asyncio.to_thread(_context, checks=self._url.tls != "offered")
        if not self._hostname:
            self._hostname = await asyncio.to_thread(_hostname)
        return await Connection.open(self._url, self._tls, self._hostname)

    def _take_idle(self) -> Connection | None:
        """Return the idle connection that was used last, or None."""
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            if connection.is_open:
                return connection
        return None

    def _leave(self, connection: Connection) -> None:
        self._idle.pop(connection).cancel()
        task = asyncio.create_task(connection.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _context(*, checks: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not checks:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _hostname() -> str:
    """Return what we call ourselves: a full name, or an address literal (RFC 5321, 4.1.4)."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() and not name.endswith(".") else "[127.0.0.1]"
