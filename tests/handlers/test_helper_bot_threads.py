"""Threads: follow-up questions, what is understood as their answers, and when they end."""

from __future__ import annotations

import orjson
import pytest

from handlers.helper_bot.choosing import choose, guess
from handlers.helper_bot.faq import Entry, Faq, Option, Step
from handlers.helper_bot.people import People
from handlers.helper_bot.person import Person
from handlers.helper_bot.thread import Thread
from receiver import samples
from tests.handlers.chat import Chat

FAQ = """\
- questions: [prices, how much does it cost]
  answer: Without tax.
  ask: Which plan?
  options:
    Free: It costs nothing.
    Team:
      ask: By the month or by the year?
      options:
        By the month: 10 a month.
        By the year: 100 a year.
    Something else: Write to us.
- questions: [how do I deploy]
  answer: Run it.
- questions: [do you deliver]
  ask: Are you in Europe?
  options: {Yes: We do., No: We don't.}
"""
HOW = "/cancel leaves this."
PLANS = f"Which plan?\n1. Free\n2. Team\n3. Something else\nAnswer with a number, or in words. {HOW}"
TERMS = (
    f"By the month or by the year?\n1. By the month\n2. By the year\nAnswer with a number, or in words. {HOW}"
)
DIRECT = ("ann", "helper_bot")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "faq.yaml"
    path.write_text(FAQ)
    return path


@pytest.fixture
def chat(monkeypatch, path):
    return Chat(monkeypatch, path, contact="Cy")


async def test_thread(chat):
    """A question with options is asked back, down to an answer, by number or in words; then it is over."""
    assert await chat.say("how much does it cost?") == [f"Without tax.\n\n{PLANS}"]
    assert await chat.say("the team plan, please") == [f"Ann: {TERMS}"]
    assert await chat.say("2") == ["Ann: 100 a year."]
    assert await chat.say("2") == []


async def test_interleaved(chat):
    """Each one in a channel has a thread of their own."""
    await chat.say("prices")
    await chat.say("do you deliver?", "ben")
    assert await chat.say("2", "ben") == ["Ben: We don't."]
    assert await chat.say("2") == [f"Ann: {TERMS}"]
    assert await chat.say("1", "ben") == []
    assert await chat.say("1") == ["Ann: 10 a month."]


async def test_direct(chat):
    """With nobody else in the channel, nobody has to be named."""
    await chat.say("prices", members=DIRECT)
    assert await chat.say("1", members=DIRECT) == ["It costs nothing."]


async def test_mention_in_a_thread(chat):
    """In privacy mode, an answer has to mention the bot: the mention is no part of it."""
    await chat.say("/faq prices")
    assert await chat.say("@helper_bot 2", mentioned=True) == [f"Ann: {TERMS}"]


@pytest.mark.parametrize("options", [{"others": ("ben",)}, {}])
async def test_for_another(chat, options):
    """What is said to somebody else is no answer, and changes nothing."""
    await chat.say("prices")
    before = chat.memory.stored
    assert await chat.say("@ben what a week", **options) == []
    assert await chat.say("/gif 1") == []
    assert await chat.say("") == []
    assert chat.memory.stored == before
    assert await chat.say("1") == ["Ann: It costs nothing."]


async def test_misunderstood(chat):
    """The first answer that isn't understood has it ask again; after the second it says who can help."""
    await chat.say("prices")
    assert await chat.say("blue") == [f"Ann: I didn't understand that. {PLANS}"]
    assert await chat.say("4") == ["Ann: Sorry, I can't help you with that. Please ask Cy."]
    assert await chat.say("1") == []
    assert await chat.say("@helper_bot why blue") == ["I don't know that either. Please ask Cy."]


async def test_understood_between(chat):
    """Only answers in a row that aren't understood count."""
    await chat.say("prices")
    await chat.say("blue")
    await chat.say("team")
    assert await chat.say("blue") == [f"Ann: I didn't understand that. {TERMS}"]
    assert await chat.say("1") == ["Ann: 10 a month."]


@pytest.mark.parametrize("text", ["/cancel", "cancel", "Never mind!", "@helper_bot stop"])
async def test_cancel(chat, text):
    """A thread can be left."""
    await chat.say("prices")
    assert await chat.say(text) == ["Ann: All right, let's leave that."]
    assert await chat.say("1") == []


async def test_thanks(chat):
    """Who says thanks has had enough."""
    await chat.say("prices")
    assert await chat.say("ok thank you") == ["Ann: You're welcome."]
    assert await chat.say("1") == []


async def test_another_question(chat):
    """Another question that is known is answered, and the thread is over."""
    await chat.say("prices")
    assert await chat.say("how do I deploy this?") == ["Ann: Run it."]
    assert await chat.say("1") == []


@pytest.mark.parametrize("text", ["/help", "/faq", "@helper_bot"])
async def test_aside(chat, text):
    """Asking what the bot can do, or knows, leaves the thread open."""
    await chat.say("prices")
    assert len(await chat.say(text)) == 1
    assert await chat.say("1") == ["Ann: It costs nothing."]


async def test_aside_unknown(chat):
    """/faq with a question that isn't known leaves the thread open."""
    await chat.say("prices")
    await chat.say("/faq what is the weather")
    assert await chat.say("1") == ["Ann: It costs nothing."]


async def test_idle(chat):
    """Ten minutes without an answer end a thread, by the messages' own time."""
    await chat.say("prices")
    chat.now = 600
    assert await chat.say("2") == [f"Ann: {TERMS}"]
    chat.now = 1201
    assert await chat.say("2") == []
    assert await chat.say("/cancel") == ["There is nothing to leave."]


async def test_replayed(chat):
    """A message of long before the thread is no part of it."""
    chat.now = 1000
    await chat.say("prices")
    chat.now = 300
    assert await chat.say("1") == []
    chat.now = 1010
    assert await chat.say("1") == ["Ann: It costs nothing."]


async def test_failed_attempt(chat):
    """An attempt that fails leaves the thread where it was."""
    await chat.say("prices")
    before = chat.memory.stored
    chat.sendbird.fails = True
    with pytest.raises(ConnectionError):
        await chat.attempt("team")
    assert chat.memory.stored == before
    chat.sendbird.fails = False
    assert await chat.say("team") == [f"Ann: {TERMS}"]


async def test_limit(monkeypatch, path):
    """Above the limit a thread stays where it was."""
    chat = Chat(monkeypatch, path, limit=2)
    await chat.say("prices")
    await chat.say("team")
    [reply] = await chat.say("1")
    assert reply.startswith("Ann: One moment, Ann")
    assert await chat.say("1") == []
    chat.now = 61
    assert await chat.say("1") == ["Ann: 10 a month."]


class TestChangedFaq:
    CHANGED = "My answers have changed since I asked you that. Please ask me once more."

    async def change(self, chat, path, old: str, new: str) -> None:
        assert old in FAQ
        path.write_text(FAQ.replace(old, new))
        chat.library._looked = 0.0

    @pytest.mark.parametrize(
        ("old", "new"),
        [("Free:", "Cheap:"), ("Which plan?", "Whose plan?"), ("Without", "With"), ("[prices, how", "[how")],
    )
    async def test_step(self, chat, path, old, new):
        """An answer to a question that has changed isn't taken for one to the new question."""
        await chat.say("prices")
        await self.change(chat, path, old, new)
        assert await chat.say("1") == [self.CHANGED]
        assert await chat.say("1") == []

    @pytest.mark.parametrize(
        ("old", "new"),
        [("By the year:", "Yearly:"), ("[prices, how", "[how"), ("    Free: It costs nothing.\n", "")],
    )
    async def test_deeper(self, chat, path, old, new):
        """Nor further down, or where the way has changed."""
        await chat.say("prices")
        await chat.say("team")
        await self.change(chat, path, old, new)
        assert await chat.say("1") == [self.CHANGED]

    async def test_foreign_command(self, chat, path):
        """What is for another gets no excuse."""
        await chat.say("prices")
        await self.change(chat, path, "Free:", "Cheap:")
        assert await chat.say("/gif 1") == []

    async def test_elsewhere(self, chat, path):
        """A change elsewhere doesn't matter."""
        await chat.say("prices")
        await self.change(chat, path, "Run it.", "Walk it.")
        assert await chat.say("1") == ["Ann: It costs nothing."]

    async def test_question(self, chat, path):
        """A question that is known needs no excuse."""
        await chat.say("prices")
        await self.change(chat, path, "Free:", "Cheap:")
        assert await chat.say("how do I deploy") == ["Run it."]

    async def test_cancel(self, chat, path):
        """A thread that has changed can be left."""
        await chat.say("prices")
        await self.change(chat, path, "Free:", "Cheap:")
        assert await chat.say("/cancel") == ["All right, let's leave that."]


def options(*words: str) -> tuple[Option, ...]:
    return tuple(Option(one, Step(one)) for one in words)


PLAN = options("Free", "Team", "Business", "Something else")
TERM = options("By the month", "By the year")
SURE = options("Yes", "No", "Not sure")
SYSTEM = options("Windows 11", "Windows 10", "macOS", "Linux (Debian, Ubuntu)")
YEAR = options("2", "1", "10")
MOOD = options("👍", "👎")


@pytest.mark.parametrize(
    ("choices", "said", "meant"),
    [
        (PLAN, "1", "Free"),
        (PLAN, "2.", "Team"),
        (PLAN, "3)", "Business"),
        (PLAN, "#2", "Team"),
        (PLAN, "option 2", "Team"),
        (PLAN, "Number 1!", "Free"),
        (PLAN, "FREE", "Free"),
        (PLAN, "bus", "Business"),
        (PLAN, "buisness", "Business"),
        (PLAN, "the team plan please", "Team"),
        (PLAN, "the free one", "Free"),
        (PLAN, "something", "Something else"),
        (PLAN, "somthing else", "Something else"),
        (TERM, "by the year.", "By the year"),
        (TERM, "year", "By the year"),
        (TERM, "monthly", "By the month"),
        (TERM, "I'd like to pay by month", "By the month"),
        (SURE, "y", "Yes"),
        (SURE, "no", "No"),
        (SURE, "yes please", "Yes"),
        (SURE, "I am not sure", "Not sure"),
        (SYSTEM, "win 11", "Windows 11"),
        (SYSTEM, "mac", "macOS"),
        (SYSTEM, "linux", "Linux (Debian, Ubuntu)"),
        (YEAR, "1", "1"),
        (YEAR, "10", "10"),
        (YEAR, "3", "10"),
        (MOOD, "👎", "👎"),
        (MOOD, "1", "👍"),
    ],
)
def test_chosen(choices, said, meant):
    """An option is understood by its words, its number, its beginning, or words close to it alone."""
    found = choose(choices, said) or guess(choices, said)
    assert found is not None
    assert found.words == meant


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (PLAN, "0"),
        (PLAN, "5"),
        (PLAN, "100"),
        (PLAN, "1 or 2"),
        (PLAN, "free or team"),
        (PLAN, "what do you mean"),
        (PLAN, "blue"),
        (PLAN, "👍"),
        (PLAN, "?"),
        (TERM, "by"),
        (TERM, "by the"),
        (TERM, "weekly"),
        (SURE, "maybe"),
        (SURE, "sure"),
        (SYSTEM, "windows"),
        (MOOD, "🎉"),
        (MOOD, "fine"),
    ],
)
def test_not_chosen(choices, said):
    """What fits none of them, or more than one, is not understood."""
    assert choose(choices, said) is None
    assert guess(choices, said) is None


class TestThread:
    entry = Entry(("q",), Step("a", options("b", "c")))

    def test_stored(self):
        """A thread that was stored is the same when it is read."""
        thread = Thread(Entry(("q",), Step("a", (Option("b", Step("c", options("d", "e"))),))))
        thread = thread.follow(thread.step.options[0]).miss()
        assert (thread.chosen, thread.missed, thread.step.text) == ((0,), 1, "c")
        assert Thread.read(Faq([thread.entry]), thread.to_json()) == thread

    @pytest.mark.parametrize(
        "entry",
        [
            Entry(("p",), Step("a", options("b", "c"))),
            Entry(("q",), Step("A", options("b", "c"))),
            Entry(("q",), Step("a", options("c", "b"))),
            Entry(("q",), Step("a")),
        ],
    )
    def test_changed(self, entry):
        """It is gone if the FAQ no longer says there what it said."""
        assert Thread.read(Faq([entry]), Thread(self.entry).to_json()) is None

    def test_way_is_gone(self):
        """It is gone if the FAQ no longer goes so deep."""
        stored = Thread(self.entry).to_json() | {"chosen": [1, 0]}
        assert Thread.read(Faq([self.entry]), stored) is None


def test_sample_has_a_nickname():
    """The sample's bot has another nickname than id, or the tests of names show nothing."""
    bot = samples.find("bot_message_notification", case="plain").payload["bot"]
    assert bot["bot_nickname"] not in ("", bot["bot_userid"])


@pytest.mark.parametrize(
    "change",
    [
        {"new": 1},
        {"thread": {"other": 1}},
        {"thread": {"entry": [], "chosen": 1}},
        {"thread": {"entry": "x", "chosen": [9], "missed": 0, "said": ""}},
    ],
)
async def test_state_of_another_version(chat, change):
    """What another version has stored of a person is read as far as it is known."""
    await chat.say("how much does it cost?")
    state = orjson.loads(chat.memory.stored)
    [person] = state["people"].values()
    person.update(change)
    chat.memory.stored = orjson.dumps(state)
    assert await chat.say("how do I deploy", mentioned=True) != []


def test_half_a_surrogate():
    """Any text can be a user id, also one that is no valid Unicode."""
    people = People({})
    people.keep("\ud83e", Person(at=5))
    assert people.find("\ud83e").at == 5
