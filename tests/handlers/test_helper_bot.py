"""The built-in bot: what it says to whom."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

import handlers.helper_bot
from handlers.faq import FaqError
from handlers.helper_bot import bot, faq
from receiver import BotMessage, Context, samples
from receiver.context import BotReplies
from receiver.discovery import load
from receiver.events import Envelope
from receiver.sendbird import wire


class Sendbird:
    """Stands for Sendbird: notes what the bot sends."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send_bot_message(self, bot_userid: str, channel_url: str, message: str, **options: Any) -> None:
        assert (bot_userid, channel_url) == ("helper_bot", "c/1")
        self.sent.append(message)


async def say(
    text: str, *, nickname: str = "Ann", mentioned: bool = False, others: tuple[str, ...] = ()
) -> list[str]:
    """Return the bot's replies to a message that mentions it, or others, or nobody."""
    payload = samples.find("bot_message_notification", case="plain").payload
    samples.assign(payload, "message.text", text)
    samples.assign(payload, "sender.nickname", nickname)
    named = (*others, "helper_bot") if mentioned else others
    samples.assign(payload, "mentioned", [{"user_id": user_id} for user_id in named])
    envelope = Envelope("e1", "bot", payload["category"], "c/1", "", 0, wire.encode(payload))
    event, sendbird = BotMessage(envelope), Sendbird()
    replies = BotReplies(sendbird, "helper_bot", "c/1", "helper_bot:e1")
    await bot(
        event,
        Context(
            event, handler="helper_bot", attempt=1, sendbird=sendbird, mailer=None, memory=None, bot=replies
        ),
    )
    return sendbird.sent


def answer_to(question: str) -> str:
    [answer] = [entry.answer for entry in faq.entries if question in entry.questions]
    return answer


def test_plugin():
    """The module is a plugin with one handler."""
    assert list(load(["handlers.helper_bot"])) == ["helper_bot"]


async def test_help():
    """/help lists every command with the first paragraph of its docstring."""
    [reply] = await say("/help")
    assert "/help - Show what I can do." in reply
    for command in bot.commands:
        assert f"{command.name} - {command.help}" in reply
        assert command.help


async def test_faq_list():
    """/faq lists every entry by its first question."""
    [reply] = await say("/faq")
    assert [line[2:] for line in reply.splitlines()[1:]] == [entry.questions[0] for entry in faq.entries]


async def test_faq_question():
    """/faq answers the question behind it."""
    assert await say("/faq how do I deploy?") == [answer_to("how do I deploy")]


@pytest.mark.parametrize("mentioned", [False, True])
@pytest.mark.parametrize("text", ["Hello!", "@helper_bot hello"])
async def test_greeting(text, mentioned):
    """A greeting is answered, mentioned or not."""
    assert await say(text, mentioned=mentioned) == [answer_to("hello")]


@pytest.mark.parametrize("mentioned", [False, True])
async def test_unknown(mentioned):
    """What it doesn't know it admits, and says what it can do."""
    [reply] = await say("what is the weather today?", mentioned=mentioned)
    assert reply.startswith("Sorry, Ann, I don't know that.")
    assert "/help - Show what I can do." in reply


@pytest.mark.parametrize("text", ["/gif cats", "/hello", " /deploy how do I deploy?"])
async def test_foreign_command(text):
    """To another bot's command it is silent."""
    assert await say(text) == []


@pytest.mark.parametrize(
    ("text", "others"),
    [("hello @shop_bot", ("shop_bot",)), ("@shop_bot hello", ()), ("@Grace Hopper: hello", ("grace",))],
)
async def test_for_another(text, others):
    """To what is said to somebody else it is silent."""
    assert await say(text, others=others) == []


@pytest.mark.parametrize("text", ["hello @shop_bot and @helper_bot", "@shop_bot @helper_bot hello"])
async def test_mentioned_among_others(text):
    """Mentioned beside others, it answers."""
    assert await say(text, mentioned=True, others=("shop_bot",)) == [answer_to("hello")]


@pytest.mark.parametrize("text", ["@helper_bot, hello", "@Helper_Bot: hello"])
async def test_named_without_a_mention(text):
    """Its name at the beginning is as good as a mention."""
    assert await say(text) == [answer_to("hello")]


async def test_no_nickname():
    """Someone without a nickname is not addressed by it."""
    [reply] = await say("what is the weather today?", nickname="")
    assert reply.startswith("Sorry, I don't know that.")


async def test_file():
    """A file without text gets no answer."""
    assert await say("") == []


async def test_bare_mention():
    """A mention without a question gets help."""
    [reply] = await say("@helper_bot", mentioned=True)
    assert "/help" in reply


class TestOtherFaq:
    @pytest.fixture
    def reloaded(self, monkeypatch, tmp_path):
        """Load the bot anew, with HELPER_BOT_FAQ naming a file with the given content."""

        def reload(content: str):
            path = tmp_path / "mine.yaml"
            path.write_text(content)
            monkeypatch.setenv("HELPER_BOT_FAQ", str(path))
            return importlib.reload(handlers.helper_bot)

        yield reload
        monkeypatch.delenv("HELPER_BOT_FAQ")
        importlib.reload(handlers.helper_bot)

    def test_own_file(self, reloaded):
        """HELPER_BOT_FAQ names another file."""
        module = reloaded("- {questions: [opening hours], answer: From 9 to 5.}\n")
        assert module.faq.answer("When are your opening hours?") == "From 9 to 5."

    def test_broken_file(self, reloaded):
        """A broken file stops the load, naming file and line."""
        with pytest.raises(FaqError, match=r"mine\.yaml, line 1: expected a list"):
            reloaded("answers: none\n")
