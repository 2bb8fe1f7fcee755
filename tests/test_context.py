"""The context: what a handler is told of its attempt, effects that happen once, replies, and waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from receiver import Context, context
from receiver.context import BotReplies
from receiver.errors import Retry
from receiver.events import Envelope, UnknownEvent
from receiver.seldom import Seldom

EVENT = UnknownEvent(
    Envelope("e1", "webhook", "user:tomorrow", "ann", "", 0, b'{"category":"user:tomorrow"}')
)


class Remembered:
    """Effects that are kept in a set."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    async def happened(self, key: str) -> bool:
        return key in self.keys

    async def record(self, key: str) -> None:
        self.keys.add(key)


class Sendbird:
    """Stands for Sendbird: notes what is sent, and fails if told to."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.fails = False

    async def send_bot_message(self, bot_userid: str, channel_url: str, message: str, **options: Any) -> None:
        self.sent.append({"bot": bot_userid, "channel": channel_url, "message": message, **options})
        if self.fails:
            raise ConnectionError


def attempt(number: int = 1, *, effects: Remembered | None = None) -> Context:
    return Context(
        EVENT, handler="h", attempt=number, sendbird=Sendbird(), mailer=None, memory=effects or Remembered()
    )


def test_what_it_tells():
    """A context tells its event, handler, attempt and client; it has no bot where there is none."""
    context = attempt(3)
    assert (context.event, context.handler, context.attempt, context.bot) == (EVENT, "h", 3, None)
    assert isinstance(context.sendbird, Sendbird)


def test_nothing_else():
    """A misspelt attribute is an error, and not kept."""
    with pytest.raises(AttributeError):
        attempt().bto = 1


def test_log():
    """The log carries what tells this attempt from others, and nothing of the body."""
    context = attempt(2)
    with capture_logs() as logs:
        context.log.info("seen", extra=1)
    assert logs == [
        {
            "event": "seen",
            "log_level": "info",
            "extra": 1,
            "handler": "h",
            "id": "e1",
            "category": "user:tomorrow",
            "attempt": 2,
        }
    ]
    assert context.log is context.log


class TestOnce:
    async def run(self, effects: Remembered, number: int, *, fails: bool = False, key: str = "mail") -> bool:
        """Run one attempt with an effect; return whether the effect was to happen."""
        async with attempt(number, effects=effects).once(key) as first:
            if fails:
                raise ConnectionError
            return bool(first)

    async def test_once(self):
        """An effect that has succeeded is not repeated by later attempts."""
        effects = Remembered()
        assert [await self.run(effects, number) for number in (1, 2, 3)] == [True, False, False]

    async def test_failed(self):
        """An effect that has failed is tried again, and its error comes out."""
        effects = Remembered()
        with pytest.raises(ConnectionError):
            await self.run(effects, 1, fails=True)
        assert effects.keys == set()
        assert await self.run(effects, 2) is True
        assert await self.run(effects, 3) is False

    async def test_keys(self):
        """Effects of different names have nothing to do with each other."""
        effects = Remembered()
        assert await self.run(effects, 1, key="mail") is True
        assert await self.run(effects, 1, key="ticket") is True

    async def test_recorded_at_the_end(self):
        """An effect counts when its block has ended, not before."""
        effects = Remembered()
        async with attempt(effects=effects).once("mail"):
            assert effects.keys == set()
        assert effects.keys == {"mail"}

    async def test_not_asked(self, monkeypatch):
        """A block that doesn't ask runs in every attempt: that is told, for nobody would mean it."""
        monkeypatch.setattr(context, "_seldom", Seldom())
        effects = Remembered()
        with capture_logs() as told:
            for _ in range(2):
                async with attempt(effects=effects).once("ticket"):
                    pass
            async with attempt(effects=effects).once("mail"):
                pass
            await self.run(effects, 2)
        [line] = told
        assert "every attempt" in line["event"]
        assert (line["log_level"], line["key"]) == ("warning", "ticket")

    async def test_cancelled_while_it_is_recorded(self):
        """An effect that has happened is remembered, though its attempt is cancelled at that moment."""
        effects, recording, go_on = Remembered(), asyncio.Event(), asyncio.Event()
        record = effects.record

        async def slowly(key: str) -> None:
            recording.set()
            await go_on.wait()
            await record(key)

        effects.record = slowly
        task = asyncio.create_task(self.run(effects, 1))
        await recording.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        while not effects.keys:
            await asyncio.sleep(0)
        assert effects.keys == {"mail"}

    async def test_waiting_inside(self):
        """A handler that asks to wait inside the block has not had its effect."""
        effects, context = Remembered(), attempt()
        with pytest.raises(Retry):
            async with context.once("mail"):
                context.retry_after(1)
        assert effects.keys == set()


class TestReplies:
    async def reply(self, sendbird: Sendbird, *messages: str, delivery: str = "h:e1") -> list[str]:
        """Reply as one attempt does; return the dedup ids."""
        replies = BotReplies(sendbird, "bot", "c/1", delivery)
        for message in messages:
            await replies.reply(message)
        return [sent["dedup_id"] for sent in sendbird.sent]

    async def test_sent(self):
        """A reply is sent as the bot into the message's channel, with what options are given."""
        sendbird = Sendbird()
        await BotReplies(sendbird, "bot", "c/1", "h:e1").reply("hello", custom_type="x")
        [sent] = sendbird.sent
        assert len(sent.pop("dedup_id")) == 32
        assert sent == {"bot": "bot", "channel": "c/1", "message": "hello", "custom_type": "x"}

    async def test_repeated_attempt(self):
        """The n-th reply has the same dedup id in every attempt, so that Sendbird posts it once."""
        first = await self.reply(Sendbird(), "one", "two")
        second = await self.reply(Sendbird(), "one", "two, said otherwise")
        assert first == second
        assert len(set(first)) == 2

    async def test_other_delivery(self):
        """Another delivery's replies are other ones, even to the same words."""
        ids = [await self.reply(Sendbird(), "one", delivery=name) for name in ("h:e1", "h:e2", "g:e1")]
        assert len({one for [one] in ids}) == 3

    async def test_failed_reply(self):
        """A reply that failed keeps its number: the next one is not taken for it."""
        sendbird = Sendbird()
        replies = BotReplies(sendbird, "bot", "c/1", "h:e1")
        sendbird.fails = True
        with pytest.raises(ConnectionError):
            await replies.reply("one")
        sendbird.fails = False
        await replies.reply("two")
        assert len({sent["dedup_id"] for sent in sendbird.sent}) == 2


@pytest.mark.parametrize(("seconds", "told"), [(5, "5 s"), (0.25, "0.25 s"), (3600, "3600 s")])
def test_retry_after(seconds, told):
    """retry_after() ends the attempt and carries the wait."""
    with pytest.raises(Retry, match=f"another attempt after {told}$") as caught:
        attempt().retry_after(seconds)
    assert caught.value.seconds == seconds


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), float("-inf")])
def test_impossible_wait(seconds):
    """A wait that can't be waited is an error of the handler's."""
    with pytest.raises(ValueError, match="expected seconds, at least 0"):
        attempt().retry_after(seconds)
