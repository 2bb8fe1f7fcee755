"""The FAQ: which questions it understands.

How the scorer was chosen: 60 ways to ask, and 75 unrelated sentences, many of them made to share words
with the FAQ; filler words left out. Right answers / false answers at each scorer's best threshold:
token_set_ratio 55 / 7, token_sort_ratio 48 / 4, WRatio 45 / 5, ratio 45 / 6, partial_ratio 35 / 5.
(With filler words: token_set_ratio 56 / 11.) The tables below are sentences that must stay right.

What is said to nobody in particular has to match closely, by token_sort_ratio as well: of 38 questions and
82 sentences that people say to each other, a threshold of 75 answers 30 / 12, 80: 26 / 8, 85: 23 / 3 (these
three are word for word what the FAQ has), 90: 17 / 3.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import handlers.helper_bot
from handlers.helper_bot.faq import Entry, Faq, FaqError, Step
from handlers.helper_bot.yaml_file import read_yaml

FILE = Path(handlers.helper_bot.__file__).with_name("faq.yaml")

# What was asked, and the first question of the entry that answers it.
MUST_HIT = [
    ("Hello!", "hello"),
    ("hi", "hello"),
    ("Hey, good morning", "hello"),
    ("helo", "hello"),
    ("@helper_bot hello", "hello"),
    ("what's this thing?", "what is this"),
    ("What is the receiver?", "what is this"),
    ("what does this receiver do", "what is this"),
    ("what is this project for?", "what is this"),
    ("How do I write my own handler?", "how do I write a handler"),
    ("how to write handlers", "how do I write a handler"),
    ("how can i create a handler", "how do I write a handler"),
    ("writing a plugin, how?", "how do I write a handler"),
    ("how do I create a bot?", "how do I write a bot"),
    ("how to make a slash command", "how do I write a bot"),
    ("how to add a custom command to the bot", "how do I write a bot"),
    ("where's the chat page?", "where is the chat page"),
    ("how do I send a test message?", "where is the chat page"),
    ("open sandbox", "where is the chat page"),
    ("what happens if my handler fails?", "what happens when my handler fails"),
    ("my handler raised an exception, what happens", "what happens when my handler fails"),
    ("is a failed event retried?", "what happens when my handler fails"),
    ("Do I need a real Sendbird account?", "do I need a Sendbird account"),
    ("is an account needed", "do I need a Sendbird account"),
    ("how are messages kept in order?", "how are events kept in order"),
    ("are events processed in order?", "how are events kept in order"),
    ("How do I deploy this?", "how do I deploy"),
    ("how to deploy to production", "how do I deploy"),
    ("docker image?", "how do I deploy"),
    ("Hello, how do I deploy?", "how do I deploy"),
    ("how can I add workers", "how do I scale"),
    ("what webhook url should I use?", "how do I connect a real Sendbird application"),
    ("I get 401 bad signature", "why is my request rejected with 401"),
    ("what if redis goes down", "what happens when redis is down"),
    ("do events get lost?", "what happens when redis is down"),
    ("where do I see my events", "where can I see what happened"),
    ("could my handler run twice?", "how do I avoid doing something twice"),
    ("how can I change your answers", "how do I change these answers"),
]

MUST_MISS = [
    "",
    "👍",
    "ok",
    "thanks a lot",
    "good night",
    "good luck",
    "see you tomorrow",
    "what time is it",
    "how old are you",
    "what is the weather today",
    "what is the meaning of life",
    "what happens in the film",
    "how do I bake bread",
    "how do I reset my password",
    "how do I run the marathon",
    "how much does it cost",
    "where is my order",
    "where can I buy shoes",
    "where is the nearest restaurant",
    "is the shop open on sunday",
    "do I need a visa for Japan",
    "can you book a table for two",
    "why is the sky blue",
    "the package was lost",
    "I sent you the file twice",
    "my phone fell down",
    "bad weather",
]


# Said among people, who don't want an answer from a bot.
CHATTER = """hello everyone, the meeting is at five
hi Grace, did you get my mail?
hi all
hello Ada
hey, are you coming to lunch?
good morning team, standup in ten minutes
I will deploy the new version tonight
the deployment went fine
did the deployment work?
my handler is broken, can somebody look at it
I pushed the docker image, please review
redis is down again
nice bot
can you send me the webhook url?
the production database is slow
are the events on friday kept?
do you have a sendbird account, Mary?
what is this about, Ada?
our handler fails every monday
messages are in order now, thanks
how do I get to the office?
how do I write a good CV?""".splitlines()

MUST_HIT_CLOSELY = [
    "Hello!",
    "hi",
    "@helper_bot hello",
    "how to write handlers",
    "How do I write my own handler?",
    "how can I add workers",
    "what happens when my handler fails?",
    "Do I need a real Sendbird account?",
    "do events get lost?",
    "where's the chat page?",
]


@pytest.fixture(scope="module")
def faq() -> Faq:
    return Faq(read_yaml(FILE))


@pytest.mark.parametrize(("asked", "question"), MUST_HIT)
def test_hit(faq, asked, question):
    """Another way to ask finds the entry."""
    assert faq.find(asked).questions[0] == question


@pytest.mark.parametrize("asked", MUST_MISS)
def test_miss(faq, asked):
    """What the FAQ isn't about gets no answer."""
    assert faq.find(asked) is None


@pytest.mark.parametrize("said", [*CHATTER, *MUST_MISS])
def test_chatter(faq, said):
    """What people say to each other matches nothing closely."""
    assert faq.find(said, closely=True) is None


@pytest.mark.parametrize("asked", MUST_HIT_CLOSELY)
def test_hit_closely(faq, asked):
    """What is hardly more than a known question matches closely."""
    assert faq.find(asked, closely=True) is not None


def test_own_questions(faq):
    """Every question in the file finds its own entry, and closely."""
    for entry in faq.entries:
        for question in entry.questions:
            assert faq.find(question) is faq.find(question, closely=True) is entry, question


def test_keys(faq):
    """Every entry has a key of its own, by which it is found."""
    assert [faq.entry(entry.key) for entry in faq.entries] == list(faq.entries)
    assert faq.entry("nothing") is None


def test_little_words():
    """A question of nothing but little words can be asked."""
    who = Entry(("who are you",), Step("a bot"))
    assert Faq([who]).find("Who are you?") is who


def test_names_are_no_words(faq):
    """The name of who is mentioned is no part of the question."""
    assert faq.find("@hello what is the weather") is None


def test_same_words():
    """Two entries that are asked in the same words are refused, naming the places of both."""
    entries = [
        Entry(("how do I deploy",), Step("x"), "a.md, line 1"),
        Entry(("stop", "How to deploy?"), Step("y"), "b.md, line 3"),
        Entry(("to deploy: how?",), Step("z"), "c.md"),
    ]
    Faq([entries[0], entries[2]])  # other words, since their order counts
    with pytest.raises(FaqError) as caught:
        Faq(entries)
    assert str(caught.value) == (
        "b.md, line 3: 'How to deploy?' is asked in the words of a.md, line 1, too; "
        "expected each question once"
    )


def test_no_words():
    """A question without words is refused."""
    with pytest.raises(FaqError, match=r"^a.md, line 1: the question '\?!' has no words$"):
        Faq([Entry(("how", "?!"), Step("x"), "a.md, line 1")])


@given(asked=st.text(), closely=st.booleans())
def test_anything(faq, asked, closely):
    """Whatever is asked, an entry is found or none is."""
    found = faq.find(asked, closely=closely)
    assert found is None or found in faq.entries
