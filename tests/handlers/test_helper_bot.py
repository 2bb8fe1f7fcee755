"""The helper bot: whom it answers, its commands, its limit, what it says when it doesn't know."""

from __future__ import annotations

import importlib

import pytest

import handlers.helper_bot as plugin
from handlers.helper_bot.faq import FaqError
from handlers.helper_bot.settings import Settings
from receiver.discovery import load
from receiver.errors import SettingsError
from tests.handlers.chat import Chat

HELLO = "Hello! I answer questions about this receiver."
DIRECT = ("ann", "helper_bot")
CONTACT = "the support team (support@example.com)"


@pytest.fixture
def chat(monkeypatch):
    """A chat about the built-in questions."""
    return Chat(monkeypatch, contact=CONTACT)


def test_plugin():
    """The module is a plugin with one handler."""
    assert list(load(["handlers.helper_bot"])) == ["helper_bot"]


class TestCommands:
    async def test_help(self, chat):
        """/help lists every command with the first paragraph of its docstring, and says who else can help."""
        [reply] = await chat.say("/help")
        assert "/help - Show what I can do." in reply
        for command in plugin.bot.commands:
            assert f"{command.name} - {command.help}" in reply
            assert command.help
        assert [command.name for command in plugin.bot.commands] == ["/help", "/faq", "/cancel"]
        assert f"For anything else, please ask {CONTACT}." in reply

    async def test_faq_list(self, chat):
        """/faq lists every entry by its first question."""
        [reply] = await chat.say("/faq")
        faq = await chat.library.current(None)
        assert [line[2:] for line in reply.splitlines()[1:]] == [entry.questions[0] for entry in faq.entries]

    async def test_long_list(self, monkeypatch, tmp_path):
        """A list that would be too long for a message ends with how many more there are."""
        path = tmp_path / "faq.yaml"
        path.write_text("".join(f"- {{questions: [question{n}], answer: x}}\n" for n in range(60)))
        [reply] = await Chat(monkeypatch, path).say("/faq")
        assert reply.splitlines()[-2:] == ["- question49", "and 10 more"]

    async def test_faq_question(self, chat):
        """/faq answers the question behind it, however far it is from what is known, or says it can't."""
        [reply] = await chat.say("/faq hello there, my friend, how do I deploy?")
        assert reply.startswith("Run `receiver serve`")
        [reply] = await chat.say("/faq what is the weather today?")
        assert reply.startswith("Sorry, Ann, I don't know that.")

    async def test_nothing_to_cancel(self, chat):
        """/cancel without a thread says so."""
        assert await chat.say("/cancel") == ["There is nothing to leave."]


class TestWhom:
    @pytest.mark.parametrize("mentioned", [False, True])
    @pytest.mark.parametrize("text", ["Hello!", "@helper_bot hello"])
    async def test_greeting(self, chat, text, mentioned):
        """A greeting is answered, mentioned or not."""
        [reply] = await chat.say(text, mentioned=mentioned)
        assert reply.startswith(HELLO)

    @pytest.mark.parametrize(
        "text",
        ["ok thanks", "what is the weather today?", "hello all, the meeting is at five", "👍", "", " \n"],
    )
    async def test_chatter(self, chat, text):
        """What is said to nobody in particular, and is hardly a known question, is left alone."""
        assert await chat.say(text) == []
        assert await chat.say(text, members=("ann", "ben", "helper_bot")) == []
        assert chat.state == {}

    @pytest.mark.parametrize("text", ["/gif cats", "/hello", " /deploy how do I deploy?"])
    async def test_foreign_command(self, chat, text):
        """To another bot's command it is silent."""
        assert await chat.say(text) == []

    @pytest.mark.parametrize(
        ("text", "others"),
        [("hello @shop_bot", ("shop_bot",)), ("@shop_bot hello", ()), ("@Grace Hopper: hello", ("grace",))],
    )
    async def test_for_another(self, chat, text, others):
        """To what is said to somebody else it is silent."""
        assert await chat.say(text, others=others) == []

    @pytest.mark.parametrize("text", ["hello @shop_bot and @helper_bot", "@shop_bot @helper_bot hello"])
    async def test_mentioned_among_others(self, chat, text):
        """Mentioned beside others, it answers."""
        [reply] = await chat.say(text, mentioned=True, others=("shop_bot",))
        assert reply.startswith(HELLO)

    @pytest.mark.parametrize(
        "name", ["@helper_bot", "@helper_bot,", "@Helper_Bot:", " @Helper 🤖", "@HELPER 🤖 :"]
    )
    async def test_named_without_a_mention(self, chat, name):
        """Its id or nickname at the beginning is as good as a mention, and no part of the question."""
        [reply] = await chat.say(f"{name} what is the weather today?")
        assert reply.startswith("Sorry")
        [reply] = await chat.say(f"{name} hello")
        assert reply.startswith(HELLO)
        [reply] = await chat.say(name)
        assert reply.startswith("What I can do:")

    async def test_named_otherwise(self, chat):
        """A name that only begins like its own is another one's."""
        assert await chat.say("@helper_bot2 hello") == []

    async def test_mention(self, chat):
        """A mention is answered, even if the question is not known."""
        [reply] = await chat.say("what is the weather today?", mentioned=True)
        assert reply.startswith("Sorry, Ann, I don't know that.")

    async def test_direct(self, chat):
        """With nobody else in the channel, everything is said to the bot."""
        [reply] = await chat.say("what is the weather today?", members=DIRECT)
        assert reply.startswith("Sorry")
        [reply] = await chat.say("/unknown command", members=DIRECT)
        assert reply.startswith("I don't know that either.")
        assert await chat.say("", members=DIRECT) == []

    @pytest.mark.parametrize("members", [(), ("ann", "helper_bot", "ben"), ("ben", "helper_bot")])
    async def test_not_direct(self, chat, members):
        """A channel is direct only if its members are known, and are the bot and who speaks."""
        assert await chat.say("what is the weather today?", members=members) == []

    @pytest.mark.parametrize(
        ("user", "from_bot", "accepted"),
        [
            ("ann", False, True),
            ("helper_bot", False, False),
            ("helper_bot", True, False),
            ("shop_bot", True, False),
        ],
    )
    def test_loops(self, chat, user, from_bot, accepted):
        """It never answers itself, nor other bots."""
        [handler] = plugin.handlers
        event = chat.event("@helper_bot hello", user, mentioned=True)
        event.bots = {user} if from_bot else set()
        assert handler.where(event) is accepted


class TestNotKnown:
    async def test_sorry(self, chat):
        """What it doesn't know it admits, says what it can do, and who can help."""
        [reply] = await chat.say("what is the weather today?", mentioned=True)
        assert reply.startswith("Sorry, Ann, I don't know that.\nWhat I can do:\n/help - Show what I can do.")
        assert reply.endswith(f"For anything else, please ask {CONTACT}.")

    async def test_once_in_a_row(self, chat):
        """An apology is made once in a row, to each one; after an answer it may be made again."""

        async def ask(text: str, user: str = "ann") -> str:
            [reply] = await chat.say(text, user, mentioned=True)
            return reply

        assert (await ask("where is my shoe?")).startswith("Sorry, Ann")
        either = f"I don't know that either. Please ask {CONTACT}."
        assert [await ask("where is my umbrella?"), await ask("and the weather?")] == [either, either]
        assert (await ask("where is my shoe?", "ben")).startswith("Sorry, Ben")
        assert (await ask("hello")).startswith(HELLO)
        assert (await ask("where is my shoe?")).startswith("Sorry, Ann")

    async def test_later(self, chat):
        """What was long ago is in no row."""
        await chat.say("where is my shoe?", mentioned=True)
        chat.now += 601
        [reply] = await chat.say("where is my umbrella?", mentioned=True)
        assert reply.startswith("Sorry")

    async def test_nobody_to_ask(self, monkeypatch):
        """Where nobody is named who can help, it says what it knows."""
        chat = Chat(monkeypatch)
        [reply] = await chat.say("where is my shoe?", mentioned=True)
        assert "please ask" not in reply
        assert await chat.say("where is my umbrella?", mentioned=True) == [
            "I don't know that either. /faq lists what I know."
        ]

    async def test_no_nickname(self, chat):
        """Someone without a nickname is not addressed by it."""
        [reply] = await chat.say("what is the weather today?", "cy", mentioned=True)
        assert reply.startswith("Sorry, I don't know that.")

    @pytest.mark.parametrize(
        ("text", "answers"),
        [
            ("ok, thanks a lot!", ["You're welcome."]),
            ("that helped, thx", ["You're welcome."]),
            ("ok", []),
            ("Great!", []),
            ("👍🎉", []),
        ],
    )
    @pytest.mark.parametrize("options", [{"mentioned": True}, {"members": DIRECT}])
    async def test_courtesies(self, chat, text, answers, options):
        """A courtesy gets no apology."""
        assert await chat.say(text, **options) == answers


class TestLimit:
    @pytest.fixture
    def chat(self, monkeypatch):
        return Chat(monkeypatch, limit=3, contact=CONTACT)

    async def test_limit(self, chat):
        """Above the limit one is told so once, and then there is silence until the minute is over."""
        for _ in range(3):
            [reply] = await chat.say("hello")
            assert reply.startswith(HELLO)
            chat.now += 10
        enough = (
            f"One moment, Ann: I give 3 answers a minute. Please wait a little. In a hurry? Ask {CONTACT}."
        )
        assert await chat.say("hello") == [enough]
        before = chat.memory.stored
        assert [await chat.say(text) for text in ("hello", "/help", "@helper_bot hello")] == [[], [], []]
        assert chat.memory.stored == before
        chat.now = 59.9
        assert await chat.say("hello") == []
        chat.now = 60
        assert len([await chat.say("/help") for _ in range(3)]) == 3
        assert await chat.say("/help") == [enough]

    async def test_each(self, chat):
        """Everyone has a limit of their own."""
        for _ in range(6):
            await chat.say("hello")
        [reply] = await chat.say("hello", "ben")
        assert reply.startswith(HELLO)

    async def test_what_counts(self, chat):
        """What isn't answered doesn't count."""
        for _ in range(9):
            assert await chat.say("are you coming to lunch?") == []
        assert len(await chat.say("hello")) == 1

    async def test_old_message(self, chat):
        """A message that comes late, by some seconds, opens no new minute."""
        chat.now = 100
        for _ in range(4):
            await chat.say("hello")
        chat.now = 97
        assert await chat.say("hello") == []

    async def test_bounded(self, chat):
        """However many people there are, in threads, the state stays small; the last ones are remembered."""
        for number in range(450):
            await chat.say("how do I get started", f"{number} {'ü' * 70}")
        assert len(chat.memory.stored) < 60_000
        last = f"449 {'ü' * 70}"
        assert [len(await chat.say("hello", last)) for _ in range(4)] == [1, 1, 1, 0]

    async def test_who_comes_back(self, chat):
        """The last ones are those who were answered last, whenever they first came."""
        await chat.say("hello")
        for number in range(120):
            await chat.say("hello", f"first {number}")
        await chat.say("hello")
        for number in range(120):
            await chat.say("hello", f"second {number}")
        assert [reply.startswith(HELLO) for [reply] in [await chat.say("hello") for _ in range(2)]] == [
            True,
            False,
        ]

    async def test_forgotten(self, chat):
        """Who has said nothing for an hour is forgotten, when somebody else is answered."""
        await chat.say("hello")
        await chat.say("hello", "ben")
        assert len(chat.state["people"]) == 2
        chat.now = 3599
        await chat.say("hello", "ben")
        assert len(chat.state["people"]) == 2
        chat.now = 3601
        await chat.say("hello", "ben")
        assert len(chat.state["people"]) == 1

    async def test_no_names(self, chat):
        """The state holds nobody's id, and nothing that was said."""
        await chat.say("hello")
        assert b"ann" not in chat.memory.stored.lower()
        assert b"hello" not in chat.memory.stored.lower()


class TestSettings:
    @pytest.fixture
    def reloaded(self, monkeypatch):
        """Load the plugin anew, with these settings."""

        def reload(**settings: object):
            for name, value in settings.items():
                monkeypatch.setenv(f"HELPER_BOT_{name}", str(value))
            return importlib.reload(plugin)

        yield reload
        monkeypatch.undo()
        importlib.reload(plugin)

    def test_described(self):
        """Every setting has a description and an example."""
        assert all(field.description and field.examples for field in Settings.model_fields.values())

    async def test_environment(self, reloaded, tmp_path):
        """The settings come from the environment."""
        path = tmp_path / "mine.yaml"
        path.write_text("- {questions: [opening hours], answer: From 9 to 5.}\n")
        settings = reloaded(FAQ=path, LIMIT=7, CONTACT="Ben").handlers.settings
        assert (settings.userid, settings.faq, settings.limit, settings.contact) == (
            "helper_bot",
            path,
            7,
            "Ben",
        )
        faq = await plugin.helper._library.current(None)
        assert faq.find("When are your opening hours?").step.text == "From 9 to 5."

    @pytest.mark.parametrize(
        ("userid", "name"),
        [
            ("support", "helper_bot.support"),
            ("a b@c.de", "helper_bot.a_b_c_de"),
            ("ü" * 80, f"helper_bot.{'_' * 80}"),
        ],
    )
    def test_userid(self, reloaded, userid, name):
        """The bot's user id is any, and its handler has a name of its own."""
        [handler] = reloaded(USERID=userid).handlers
        assert (handler.name, handler.filter.bots) == (name, (userid,))

    @pytest.mark.parametrize(("name", "value"), [("LIMIT", "0"), ("LIMIT", "many"), ("USERID", "x" * 81)])
    def test_wrong(self, reloaded, name, value):
        """A wrong setting stops the load and is named."""
        with pytest.raises(SettingsError, match=rf"^HELPER_BOT_{name} is wrong: "):
            reloaded(**{name: value})

    def test_broken_file(self, reloaded, tmp_path):
        """A broken FAQ stops the load, naming file and line."""
        path = tmp_path / "mine.yaml"
        path.write_text("answers: none\n")
        with pytest.raises(FaqError, match=r"mine\.yaml, line 1: expected a list"):
            reloaded(FAQ=path)
