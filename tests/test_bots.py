"""Bots: which function a message is for, what becomes of what it returns, and that none answers itself."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import Bot, BotMessage, Context
from receiver.context import BotReplies
from receiver.errors import PluginError
from receiver.events import Envelope


class Sendbird:
    """Stands for Sendbird: notes what the bot sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []

    async def send_bot_message(self, bot_userid: str, channel_url: str, message: str, **options: Any) -> None:
        self.sent.append((bot_userid, channel_url, message))


def message(text: str = "", *, mentioned: tuple[str, ...] = (), sender: str = "ann") -> BotMessage:
    body = {
        "category": "bot_message_notification",
        "bot": {"bot_userid": "bot"},
        "channel": {"channel_url": "c/1"},
        "sender": {"user_id": sender},
        "message": {"text": text},
        "mentioned": [{"user_id": userid} for userid in mentioned],
    }
    return BotMessage(Envelope("e1", "bot", body["category"], "c/1", "", 0, orjson.dumps(body)))


async def say(bot: Bot, text: str, **options: Any) -> list[str]:
    """Return what `bot` sends in answer to a message."""
    event, sendbird = message(text, **options), Sendbird()
    replies = BotReplies(sendbird, bot.userid, "c/1", "bot:e1")
    context = Context(
        event, handler="bot", attempt=1, sendbird=sendbird, mailer=None, memory=None, bot=replies
    )
    await bot(event, context)
    assert {sent[:2] for sent in sendbird.sent} <= {(bot.userid, "c/1")}
    return [text for _, _, text in sendbird.sent]


@pytest.fixture
def bot() -> Bot:
    """A bot that says which of its functions was called, and with what words."""
    made = Bot("bot")

    @made.command("/gif")
    async def gif(event: BotMessage, context: Context, words: str) -> str:
        """Find a picture.

        On the net.
        """
        return f"gif {words!r}"

    @made.mention()
    async def mention(event: BotMessage, context: Context) -> str:
        return "mention"

    @made.message()
    async def other(event: BotMessage, context: Context) -> str:
        return "message"

    return made


class TestWhich:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("/gif", ""),
            ("/gif cats", "cats"),
            ("  /gif   cats and  dogs ", "cats and  dogs"),
            ("/GIF Cats", "Cats"),
            ("/Gif\ncats\nand dogs", "cats\nand dogs"),
            ("/gif\tcats", "cats"),
            ("/gif\u00a0cats", "cats"),
            ("/gif /gif", "/gif"),
        ],
    )
    async def test_command(self, bot, text, words):
        """A message that begins with a command runs it with the words behind it, in any case and spacing."""
        assert await say(bot, text) == [f"gif {words!r}"]

    @pytest.mark.parametrize("text", ["/gifs", "/gi", "gif", "a /gif", "/", "//gif", "/gif-cats"])
    async def test_no_command(self, bot, text):
        """What only looks like a command is a message."""
        assert await say(bot, text) == ["message"]

    async def test_mention(self, bot):
        """A message that mentions the bot is its mention's; another one's mention isn't."""
        assert await say(bot, "hello", mentioned=("ann", "bot")) == ["mention"]
        assert await say(bot, "hello", mentioned=("ann", "Bot")) == ["message"]

    async def test_command_before_mention(self, bot):
        """A command stays one when the bot is mentioned."""
        assert await say(bot, "/gif cats", mentioned=("bot",)) == ["gif 'cats'"]

    async def test_only_commands(self):
        """A bot without a function for the message says nothing."""
        bot = Bot("bot")
        bot.command("/gif")(lambda event, context, words: "gif")
        assert await say(bot, "hello", mentioned=("bot",)) == []
        assert await say(bot, "/gif") == ["gif"]

    async def test_mention_without_function(self):
        """A mention that has no function of its own is a message."""
        bot = Bot("bot")
        bot.message()(lambda event, context: "message")
        assert await say(bot, "hello", mentioned=("bot",)) == ["message"]

    @pytest.mark.parametrize("text", ["", "   ", "\n"])
    async def test_no_text(self, bot, text):
        """A message without words (a file) is a message."""
        assert await say(bot, text) == ["message"]

    @given(text=st.text())
    async def test_any_text(self, text):
        """Whatever is written, one function runs, and a command only for its own word."""
        bot = Bot("bot")
        bot.command("/x")(lambda event, context, words: f"command:{words}")
        bot.message()(lambda event, context: "message")
        [answer] = await say(bot, text)
        is_command = text.split()[:1] in (["/x"], ["/X"])
        assert answer.startswith("command:") is is_command


class TestAnswer:
    @pytest.mark.parametrize("returned", [None, ""])
    async def test_nothing(self, returned):
        """None, and the empty string, send nothing."""
        bot = Bot("bot")
        bot.message()(lambda event, context: returned)
        assert await say(bot, "hello") == []

    async def test_own_replies(self):
        """A function may reply by itself, as often as it likes, and return one more."""
        bot = Bot("bot")

        @bot.message()
        async def answer(event, context):
            await context.bot.reply("one")
            await context.bot.reply("two")
            return "three"

        assert await say(bot, "hello") == ["one", "two", "three"]

    async def test_plain_function(self):
        """A plain `def` runs in a thread, and its string is the reply."""
        bot = Bot("bot")
        bot.message()(lambda event, context: threading.current_thread().name)
        [name] = await say(bot, "hello")
        assert name != threading.current_thread().name

    async def test_error(self):
        """What a function raises comes out: the delivery has failed."""
        bot = Bot("bot")

        @bot.message()
        async def fails(event, context):
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await say(bot, "hello")


class TestRegistration:
    def test_commands(self, bot):
        """Commands are listed in their order, with the first paragraph of their docstrings."""
        bot.command("/Two")(lambda event, context, words: None)
        assert [(one.name, one.help) for one in bot.commands] == [("/gif", "Find a picture."), ("/Two", "")]

    def test_functions_stay(self, bot):
        """A decorator gives its function back."""

        def function(event, context, words):
            return None

        assert bot.command("/x")(function) is function
        assert Bot("b").mention()(print_all) is print_all
        assert Bot("b").message()(print_all) is print_all

    @pytest.mark.parametrize("name", ["gif", "", "/", "/two words", "/gif ", " /gif", "gif/"])
    def test_no_command(self, bot, name):
        """A command is one word that begins with a slash."""
        with pytest.raises(PluginError) as caught:
            bot.command(name)
        assert str(caught.value) == f"{name!r} is no command of bot: one word that begins with '/'"

    @pytest.mark.parametrize("name", ["/gif", "/GIF"])
    def test_command_twice(self, bot, name):
        """A command is registered once, in whatever case."""
        with pytest.raises(PluginError) as caught:
            bot.command(name)
        assert str(caught.value) == f"the command {name} of bot is registered twice"

    def test_twice(self, bot):
        """There is one function for mentions, and one for messages."""
        with pytest.raises(PluginError, match=r"^bot has two functions for mentions$"):
            bot.mention()(print_all)
        with pytest.raises(PluginError, match=r"^bot has two functions for messages$"):
            bot.message()(print_all)

    def test_wrong_signature(self):
        """A function that can't take what it is given is told what that is."""
        bot = Bot("bot")
        with pytest.raises(PluginError, match=r"must take \(event, context, words\)$"):
            bot.command("/x")(lambda event, context: None)
        for register in (bot.mention(), bot.message()):
            with pytest.raises(PluginError, match=r"must take \(event, context\)$"):
                register(lambda event, context, words: None)
        assert bot.commands == ()


def print_all(*arguments):
    """Take anything."""


class TestLoops:
    def test_itself(self):
        """A bot never answers itself, not even one that answers bots."""
        for bot in (Bot("bot"), Bot("bot", answer_bots=True)):
            assert not bot.accepts(message(sender="bot"))
            event = message(sender="bot")
            event.bots = {event.sender.user_id}
            assert not bot.accepts(event)

    @pytest.mark.parametrize("answer_bots", [False, True])
    def test_other_bots(self, answer_bots):
        """A bot answers other bots only if it is told to."""
        event = message(sender="other_bot")
        event.bots = {event.sender.user_id}
        assert Bot("bot", answer_bots=answer_bots).accepts(event) is answer_bots

    @pytest.mark.parametrize("sender", ["ann", "", "Bot", "bot "])
    def test_people(self, sender):
        """A bot answers everyone else."""
        assert Bot("bot").accepts(message(sender=sender))
