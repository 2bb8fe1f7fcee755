"""Mails over a real server: the sandbox's sink, whose faults are scripted."""

from __future__ import annotations

import ssl

import pytest
import trustme

from receiver.mail.message import Mail, build
from receiver.mail.smtp import Smtp
from receiver.mail_address import MailAddress
from receiver.sandbox.mail import SmtpSink
from receiver.smtp_url import SmtpUrl

SENDER = MailAddress("chat@example.com", "Chat")
MAIL = Mail("Ada Lovelace <ada@example.com>", "Three new messages", "Grace: hello")


def message(mail=MAIL, message_id="one@example.com"):
    """A mail as it is handed over."""
    return build(mail, SENDER, message_id)


@pytest.fixture
async def sink():
    """A server that takes everything."""
    async with SmtpSink() as server:
        yield server


@pytest.fixture
def authority():
    """A certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture
def server_tls(authority):
    """The server's side of TLS, for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority):
    """A client's side of TLS that knows the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def smtp():
    """Make the way out to a server; it is closed with the test."""
    made = []

    def make(where, **more):
        url = where if isinstance(where, str) else where.url
        made.append(Smtp(SmtpUrl.parse(url), **more))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()
