"""Handing mails over, to a real server that misbehaves."""

from __future__ import annotations

import asyncio

import pytest

from receiver.errors import MailRefused, MailUnavailable
from receiver.mail import connection as connections
from receiver.mail import smtp as pools
from receiver.mail.message import Mail, build
from receiver.sandbox.mail import SmtpSink
from tests.mail.conftest import SENDER, message

TO = "ada@example.com"


async def send(smtp, number=1):
    await smtp.send(SENDER.address, TO, message(message_id=f"{number}@example.com"))


async def test_sent(sink, smtp):
    """A mail arrives with its envelope, its headers and its text."""
    await send(smtp(sink))
    [mail] = sink.mails
    assert (mail.mail_from, mail.rcpt_tos) == ("chat@example.com", (TO,))
    assert mail.header("From") == "Chat <chat@example.com>"
    assert mail.header("To") == "Ada Lovelace <ada@example.com>"
    assert (mail.subject, mail.text) == ("Three new messages", "Grace: hello\n")
    assert mail.message_id == "<1@example.com>"


async def test_same_connection(sink, smtp):
    """Mails one after another share a connection; the server sees one dialogue after another."""
    out = smtp(sink)
    for number in range(5):
        await send(out, number)
    assert (len(sink.mails), sink.connections) == (5, 1)


async def test_few_connections(sink, smtp):
    """Many mails at once share a few connections, and none is lost or doubled."""
    out = smtp(sink)
    await asyncio.gather(*(send(out, number) for number in range(40)))
    assert sorted(mail.message_id for mail in sink.mails) == sorted(f"<{n}@example.com>" for n in range(40))
    assert sink.connections <= pools.MOST_CONNECTIONS


async def test_dots(sink, smtp):
    """Lines that begin with a dot, or are one, arrive as they are."""
    text = ".\n..\n.a\n\n.\nend\n"
    await smtp(sink).send(SENDER.address, TO, message(Mail(TO, "dots", text, f"<pre>{text}</pre>")))
    [mail] = sink.mails
    assert mail.text == text
    assert mail.html == f"<pre>{text}</pre>\n"


async def test_idle_drop(sink, smtp):
    """A server that drops an idle connection costs nothing: the mail goes over a new one, once."""
    out = smtp(sink)
    await send(out)
    sink.drop_connections()
    await send(out, 2)
    assert [mail.message_id for mail in sink.mails] == ["<1@example.com>", "<2@example.com>"]
    assert sink.connections == 2


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_drop_before_the_dot(sink, smtp, stage):
    """A used connection that fails before the last dot is replaced, and the mail is sent once."""
    out = smtp(sink)
    await send(out)
    sink.drop(stage)
    await send(out, 2)
    assert [mail.message_id for mail in sink.mails] == ["<1@example.com>", "<2@example.com>"]
    assert sink.connections == 2


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_closing_channel(sink, smtp, stage):
    """A used connection that is answered 421 is replaced."""
    out = smtp(sink)
    await send(out)
    sink.refuse(stage, 421, "4.4.2 idle for too long")
    await send(out, 2)
    assert (len(sink.mails), sink.connections) == (2, 2)


async def test_hanging_connection(sink, smtp, monkeypatch):
    """A used connection that doesn't answer before the last dot is replaced."""
    monkeypatch.setattr(connections, "ANSWERS_WITHIN", 1.0)
    out = smtp(sink)
    await send(out)
    sink.hang("RCPT")
    await send(out, 2)
    assert ([mail.message_id for mail in sink.mails][1:], sink.connections) == (["<2@example.com>"], 2)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_new_connection_fails(sink, smtp, stage):
    """A failure of a new connection is told as one of the way, with nothing sent; the next try works."""
    out = smtp(sink)
    sink.drop(stage)
    with pytest.raises(MailUnavailable, match=r"failed before the mail was sent") as caught:
        await send(out)
    assert "unknown" not in str(caught.value)
    assert sink.connections == 1
    await send(out)
    assert len(sink.mails) == 1


@pytest.mark.parametrize("used", [False, True])
async def test_drop_after_the_dot(sink, smtp, used):
    """A connection that fails after the last dot: the outcome is unknown, and nothing is sent twice."""
    out = smtp(sink)
    if used:
        await send(out)
    sink.drop("DOT")
    with pytest.raises(MailUnavailable, match="unknown outcome: the mail was sent"):
        await send(out, 2)
    assert [mail.message_id for mail in sink.mails][used:] == ["<2@example.com>"]
    assert sink.connections == 1


async def test_no_answer_to_the_dot(sink, smtp, monkeypatch):
    """No answer to the last dot in time is an unknown outcome, too; the connection isn't used again."""
    monkeypatch.setattr(connections, "TAKES_WITHIN", 0.05)
    out = smtp(sink)
    sink.hang("DOT")
    with pytest.raises(MailUnavailable, match=r"unknown outcome: .*no answer in time"):
        await send(out)
    monkeypatch.undo()
    await send(out, 2)
    assert (len(sink.mails), sink.connections) == (2, 2)


async def test_drop_after_the_answer(sink, smtp):
    """A server that hangs up after each mail is no trouble."""
    out = smtp(sink)
    sink.drop("TAKEN", times=2)
    for number in range(3):
        await send(out, number)
    assert len(sink.mails) == 3


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize(("code", "error"), [(450, MailUnavailable), (550, MailRefused)])
async def test_refused(sink, smtp, stage, code, error):
    """4xx is "not now", 5xx is for good, at every stage, in the server's words; the connection is used on."""
    out = smtp(sink)
    sink.refuse(stage, code, "5.1.1 \x07no such user")
    with pytest.raises(error) as caught:
        await send(out)
    assert caught.value.status == code
    assert f"{code} 5.1.1  no such user" in str(caught.value)
    assert ("RECEIVER_MAIL_FROM" in str(caught.value)) == (stage == "MAIL")
    await send(out, 2)
    assert ([mail.message_id for mail in sink.mails], sink.connections) == (["<2@example.com>"], 1)


async def test_long_words(sink, smtp):
    """A server's words are kept up to a length."""
    sink.refuse("RCPT", 550, "x" * 5000)
    with pytest.raises(MailRefused) as caught:
        await send(smtp(sink))
    assert len(str(caught.value)) < connections.LONGEST_WORDS + 100


async def test_nobody_listens(smtp, free_port):
    """A server that isn't there is told with its address and the setting."""
    with pytest.raises(MailUnavailable, match=rf"127.0.0.1:{free_port} \(RECEIVER_SMTP_URL\) can't be used"):
        await send(smtp(f"smtp://127.0.0.1:{free_port}"))


@pytest.mark.parametrize("code", [421, 554])
async def test_greeted_badly(sink, smtp, code):
    """A server that doesn't want to talk, even for good, is away: no mail dies of that."""
    sink.refuse("CONNECT", code, "go away")
    with pytest.raises(MailUnavailable, match=f"greets with {code} go away"):
        await send(smtp(sink))


async def test_no_greeting(sink, smtp, monkeypatch):
    """A server that says nothing is not waited for without end."""
    monkeypatch.setattr(connections, "MEETS_WITHIN", 0.05)
    sink.hang("CONNECT")
    with pytest.raises(MailUnavailable, match="can't be used: "):
        await send(smtp(sink))


async def test_no_smtp(smtp):
    """A server that speaks another language is told."""

    async def chat(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(chat, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(MailUnavailable):
            await send(smtp(f"smtp://127.0.0.1:{port}"))


async def test_cancelled(sink, smtp, monkeypatch):
    """A send that is cut off goes on, and leaves nothing behind that the next mail could meet."""
    monkeypatch.setattr(connections, "ANSWERS_WITHIN", 0.5)
    out = smtp(sink)
    await send(out)
    sink.hang("RCPT")
    task = asyncio.create_task(send(out, 2))
    async with asyncio.timeout(10):
        while sink.commands.count("RCPT") < 2:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await sink.wait_for(2)
    await send(out, 3)
    assert [mail.message_id for mail in sink.mails] == [f"<{n}@example.com>" for n in (1, 2, 3)]


async def test_idle_is_closed(sink, smtp, monkeypatch):
    """A connection that nobody needs is closed."""
    monkeypatch.setattr(pools, "IDLE_FOR", 0.01)
    await send(smtp(sink))
    async with asyncio.timeout(10):
        while sink._open:
            await asyncio.sleep(0.005)


async def test_close(sink, smtp):
    """Closing takes leave of the server."""
    out = smtp(sink)
    await send(out)
    await out.aclose()
    async with asyncio.timeout(10):
        while sink._open:
            await asyncio.sleep(0.005)


class TestTls:
    async def test_offered(self, server_tls, smtp):
        """STARTTLS is used where it is offered, whatever the certificate, where no password travels far."""
        async with SmtpSink(tls=server_tls) as sink:
            await send(smtp(sink))
            assert sink.encrypted == [True]

    async def test_required(self, server_tls, client_tls, smtp):
        """With ?tls=required the certificate is checked."""
        async with SmtpSink(tls=server_tls) as sink:
            url = f"{sink.url}?tls=required"
            with pytest.raises(MailUnavailable, match="its certificate is not accepted: "):
                await send(smtp(url))
            await send(smtp(url, tls=client_tls))
            assert sink.encrypted == [True]

    async def test_required_and_absent(self, sink, smtp):
        """With ?tls=required a server without STARTTLS gets nothing."""
        with pytest.raises(MailUnavailable, match="STARTTLS"):
            await send(smtp(f"{sink.url}?tls=required"))
        assert sink.commands == []

    async def test_none(self, server_tls, smtp):
        """With ?tls=none an offer is not taken."""
        async with SmtpSink(tls=server_tls) as sink:
            await send(smtp(f"{sink.url}?tls=none"))
            assert sink.encrypted == [False]

    async def test_implicit(self, server_tls, client_tls, smtp):
        """smtps:// is TLS from the first byte, and the certificate is checked."""
        async with SmtpSink(tls=server_tls, implicit=True) as sink:
            assert sink.url.startswith("smtps://")
            with pytest.raises(MailUnavailable, match="its certificate is not accepted: "):
                await send(smtp(sink))
            await send(smtp(sink, tls=client_tls))
            assert len(sink.mails) == 1


class TestLogin:
    PASSWORD = "p@ss/wörd:1"

    async def test_right(self, server_tls, client_tls, smtp):
        """User and password of the URL open the door, over TLS."""
        async with SmtpSink(tls=server_tls, credentials=("ada", self.PASSWORD)) as sink:
            await send(smtp(sink, tls=client_tls))
            assert len(sink.mails) == 1

    async def test_wrong(self, smtp, caplog):
        """A wrong password is a matter of the setting, not of the mail, and is shown nowhere."""
        async with SmtpSink(credentials=("ada", "right")) as sink:
            url = f"smtp://ada:hush-hush@127.0.0.1:{sink.port}"
            out = smtp(url)
            with pytest.raises(MailUnavailable, match=r"535 .*RECEIVER_SMTP_URL") as caught:
                await send(out)
        assert (caught.value.status, caught.value.retry_after) == (535, 60)
        shown = f"{caught.value!r} {caught.value} {out!r} {out._url!r} {caplog.text}"
        assert "hush" not in shown
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    async def test_none_given(self, smtp):
        """A server that wants a login first says 530, which kills no mail either."""
        async with SmtpSink(credentials=("ada", "right")) as sink:
            with pytest.raises(MailUnavailable, match=r"530 .*RECEIVER_SMTP_URL"):
                await send(smtp(f"smtp://127.0.0.1:{sink.port}"))


class TestUtf8:
    MAIL = Mail("Jörg <jörg@example.com>", "Grüße", "Hallo")

    async def test_spoken(self, sink, smtp):
        """An address with letters beyond ASCII arrives at a server that takes them."""
        built = build(self.MAIL, SENDER, "1@example.com")
        await smtp(sink).send(SENDER.address, self.MAIL.recipient.address, built)
        [mail] = sink.mails
        assert mail.rcpt_tos == ("jörg@example.com",)
        assert (mail.header("To"), mail.subject) == ("Jörg <jörg@example.com>", "Grüße")

    async def test_not_spoken(self, smtp):
        """A server that doesn't is told apart from one that refuses the person."""
        built = build(self.MAIL, SENDER, "1@example.com")
        async with SmtpSink(smtputf8=False) as sink:
            with pytest.raises(MailRefused, match="SMTPUTF8, RFC 6531"):
                await smtp(sink).send(SENDER.address, self.MAIL.recipient.address, built)

    async def test_domain(self, smtp):
        """A domain beyond ASCII has a form that every server takes."""
        mail = Mail("jorg@müller.example", "Grüße", "Hallo")
        async with SmtpSink(smtputf8=False) as sink:
            address = mail.recipient.address
            await smtp(sink).send(SENDER.address, address, build(mail, SENDER, "1@example.com"))
            assert sink.mails[0].rcpt_tos == ("jorg@xn--mller-kva.example",)
