"""What a handler sends mails with: each once, however often it is tried."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisAway

from receiver import effects, settings
from receiver.errors import MailRefused, MailUnavailable
from receiver.mail import mailer as mailers
from receiver.mail.mailer import MailRoom
from receiver.mail.message import Mail
from receiver.mail.unsubscribe import Subscription

TO = "Ada <ada@example.com>"


class Memory:
    """What a delivery remembers; it can be away for a while, or slow."""

    def __init__(self):
        self.known = set()
        self.away = 0
        self.slow = None

    async def happened(self, key):
        return key in self.known

    async def record(self, key):
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            self.away -= 1
            raise RedisAway
        self.known.add(key)


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
async def room(client):
    """Make a mail room; it is closed with the test."""
    made = []

    def make(url, **more):
        usual = {
            "RECEIVER_SMTP_URL": url,
            "RECEIVER_MAIL_FROM": "Chat <chat@mail.example.com>",
            "RECEIVER_PUBLIC_URL": "https://chat.example.com/r/",
            "SENDBIRD_API_TOKEN": "first,second",
        }
        made.append(MailRoom(settings.load(**usual | more), client))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


async def attempt(room, memory, *subjects, delivery="d"):
    """Run an attempt of a delivery that sends these mails."""
    mailer = room.mailer(memory, delivery)
    for subject in subjects:
        await mailer.send(Mail(TO, subject, "text"))


async def test_sent(sink, room, memory):
    """A mail goes out from the sender that is set, and is remembered."""
    await attempt(room(sink.url), memory, "one")
    [mail] = sink.mails
    assert (mail.mail_from, mail.rcpt_tos) == ("chat@mail.example.com", ("ada@example.com",))
    assert mail.header("From") == "Chat <chat@mail.example.com>"
    assert mail.message_id.endswith("@mail.example.com>")
    assert memory.known == {f"{mailers.MARK}1"}


async def test_not_again(sink, room, memory):
    """What one attempt has sent, the next one doesn't send again; it goes on behind it."""
    rooms = room(sink.url)
    sink.refuse("RCPT", 450)
    with pytest.raises(MailUnavailable):
        await attempt(rooms, memory, "one", "two")
    sink.refuse("RCPT", 450, times=0)
    await attempt(rooms, memory, "one")
    await attempt(rooms, memory, "one", "two", "three")
    assert [mail.subject for mail in sink.mails] == ["one", "two", "three"]


async def test_same_id(sink, room, memory):
    """A mail whose fate is unknown is sent again with the same Message-ID; other mails have others."""
    rooms = room(sink.url)
    sink.drop("DOT")
    with pytest.raises(MailUnavailable, match="unknown outcome"):
        await attempt(rooms, memory, "one")
    await attempt(rooms, memory, "one", "two")
    await attempt(rooms, Memory(), "other", delivery="e")
    ids = [mail.message_id for mail in sink.mails]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


async def test_keys(sink, room, memory):
    """Mails with keys are known by them, in whatever order they are sent."""
    rooms = room(sink.url)
    for people in (["ada", "grace"], ["mary", "grace", "ada"]):
        mailer = rooms.mailer(memory, "d")
        for person in people:
            await mailer.send(Mail(f"{person}@example.com", "hi", "text"), key=person)
    assert [mail.rcpt_tos[0].split("@")[0] for mail in sink.mails] == ["ada", "grace", "mary"]


async def test_memory_is_away(sink, room, memory, monkeypatch):
    """That a mail was sent is remembered though Redis is away for a moment."""
    monkeypatch.setattr(effects, "PAUSE", 0)
    rooms = room(sink.url)
    memory.away = effects.TRIES - 1
    await attempt(rooms, memory, "one")
    assert memory.known == {f"{mailers.MARK}1"}
    memory.away = effects.TRIES
    with pytest.raises(RedisAway):
        await attempt(rooms, memory, "one", "two")


async def test_cut_off_when_sent(sink, room, memory):
    """A handler that is cut off right after its mail was taken has sent it: it is remembered."""
    memory.slow = asyncio.Event()
    task = asyncio.create_task(attempt(room(sink.url), memory, "one"))
    await sink.wait_for(1)
    async with asyncio.timeout(10):
        while not memory.slow._waiters:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    memory.slow.set()
    async with asyncio.timeout(10):
        while memory.known != {f"{mailers.MARK}1"}:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECEIVER_SMTP_URL", "smtp://user:password@mail.example.com:587"),
        ("RECEIVER_MAIL_FROM", "Chat <chat@example.com>"),
    ],
)
async def test_not_set(sink, room, memory, name, value):
    """Without a server or a sender the mail waits, and the setting is named with a right value."""
    with pytest.raises(MailUnavailable, match=f"^{name} is not set") as caught:
        await attempt(room(sink.url, **{name: None}), memory, "one")
    assert str(caught.value).endswith(value)
    assert caught.value.retry_after == 60
    assert memory.known == set()
    assert sink.mails == []


async def test_refused(sink, room, memory):
    """A mail that the server refused is not remembered as sent."""
    sink.refuse("DOT", 554, "spam")
    with pytest.raises(MailRefused, match="554 spam"):
        await attempt(room(sink.url), memory, "one")
    assert memory.known == set()


async def test_unsubscribe(sink, room, memory):
    """The link in a mail begins with the public URL, and names the list and the person to us only."""
    rooms = room(sink.url)
    mailer = rooms.mailer(memory, "d")
    link = mailer.unsubscribe_url("digest", "ada")
    start, _, token = link.rpartition("/")
    assert start == "https://chat.example.com/r/unsubscribe"
    assert rooms.tokens.open(token) == Subscription("digest", "ada")
    assert not await mailer.is_unsubscribed("digest", "ada")
    await rooms.opt_outs.add(Subscription("digest", "ada"))
    assert await mailer.is_unsubscribed("digest", "ada")
    assert not await mailer.is_unsubscribed("digest", "grace")
    assert not await mailer.is_unsubscribed("news", "ada")


@pytest.mark.parametrize("name", ["RECEIVER_PUBLIC_URL", "SENDBIRD_API_TOKEN"])
async def test_no_link(sink, room, memory, name):
    """Without a public URL, or a token to sign with, there is no link."""
    rooms = room(sink.url, **{name: None if name == "RECEIVER_PUBLIC_URL" else ""})
    assert rooms.mailer(memory, "d").unsubscribe_url("digest", "ada") is None


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb"])
async def test_wrong_list(sink, room, memory, name):
    """A list's name that can't be one is the author's mistake."""
    with pytest.raises(ValueError, match="the name of a mail list"):
        room(sink.url).mailer(memory, "d").unsubscribe_url(name, "ada")


async def test_cut_off_before_the_answer(sink, room, memory):
    """A handler that is cut off while the server is slow has sent its mail; the next attempt joins it."""
    taken, add = asyncio.Event(), sink.mailbox.add

    async def slow(*mail):
        added = await add(*mail)
        await taken.wait()
        return added

    sink.mailbox.add = slow
    rooms = room(sink.url)
    task = asyncio.create_task(attempt(rooms, memory, "one"))
    await sink.wait_for(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again = asyncio.create_task(attempt(rooms, memory, "one"))
    closing = asyncio.create_task(rooms.aclose())
    await asyncio.sleep(0.05)
    assert not again.done()
    assert not closing.done()
    taken.set()
    async with asyncio.timeout(10):
        await again
        await closing
    assert len(sink.mails) == 1
    assert memory.known == {f"{mailers.MARK}1"}


async def test_own_keys(sink, room, memory):
    """What a handler calls its own effects hides no mail."""
    await memory.record("mail 1")
    await attempt(room(sink.url), memory, "one")
    assert len(sink.mails) == 1
