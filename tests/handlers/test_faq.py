"""The FAQ: which questions it understands, and what it says of a broken file.

How the scorer was chosen: 60 ways to ask, and 75 unrelated sentences, many of them made to share words
with the FAQ; filler words left out. Right answers / false answers at each scorer's best threshold:
token_set_ratio 55 / 7, token_sort_ratio 48 / 4, WRatio 45 / 5, ratio 45 / 6, partial_ratio 35 / 5.
(With filler words: token_set_ratio 56 / 11.) The tables below are sentences that must stay right.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import handlers.faq
from handlers.faq import Entry, Faq, FaqError, load_faq

FILE = Path(handlers.faq.__file__).with_name("faq.yaml")

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


@pytest.fixture(scope="module")
def faq() -> Faq:
    return load_faq(FILE)


@pytest.mark.parametrize(("asked", "entry"), MUST_HIT)
def test_hit(faq, asked, entry):
    """Another way to ask finds the entry."""
    assert faq.answer(asked) == next(each.answer for each in faq.entries if each.questions[0] == entry)


@pytest.mark.parametrize("asked", MUST_MISS)
def test_miss(faq, asked):
    """What the FAQ isn't about gets no answer."""
    assert faq.answer(asked) is None


def test_own_questions(faq):
    """Every question in the file finds its own answer."""
    for entry in faq.entries:
        for question in entry.questions:
            assert faq.answer(question) == entry.answer, question


def test_no_two_answers(faq):
    """No two entries of the file are asked in the same words."""
    questions = [question for entry in faq.entries for question in entry.questions]
    assert len(faq._answers) == len(questions)


def test_little_words():
    """A question of nothing but little words can be asked."""
    assert Faq((Entry(("who are you",), "a bot"),)).answer("Who are you?") == "a bot"


def test_names_are_no_words(faq):
    """The name of who is mentioned is no part of the question."""
    assert faq.answer("@hello what is the weather") is None


def test_texts_are_texts(tmp_path):
    """Words that YAML would read as something else stay words."""
    path = tmp_path / "faq.yaml"
    path.write_text("- {questions: [yes, 401], answer: 1.0}\n")
    assert load_faq(path).answer("401") == "1.0"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("", 1, "this is something else"),
        ("answer: x\n", 1, "this is something else"),
        ("- questions: [a]\n  answer: x\n- just text\n", 3, "this is something else"),
        ("- questions: [a]\n  answer: x\n\n- questions: [b]\n", 4, "an entry has the fields questions"),
        ("- answer: x\n", 1, "an entry has the fields answer"),
        ("- {}\n", 1, "an entry has the fields none"),
        ("- questions: [a]\n  answr: x\n", 1, "an entry has the fields questions, answr"),
        ("- answer: x\n  questions: how\n", 2, "questions is not a list"),
        ("- answer: x\n  questions: []\n", 2, "questions is not a list"),
        ("- answer: x\n  questions:\n    - a\n    - [b]\n", 4, "this is not a text"),
        ("- questions: [a]\n  answer: ''\n", 2, "this is not a text"),
        ("- questions: [a]\n  answer: {x: y}\n", 2, "this is not a text"),
        ("- questions: [a\n  answer: x\n", 2, "this is not YAML"),
        ("- questions: [a]\n  answer: *nobody\n", 2, "this is not YAML"),
    ],
)
def test_broken_file(tmp_path, content, line, said):
    """A broken file is refused, naming the file, the line and what is expected."""
    path = tmp_path / "faq.yaml"
    path.write_text(content)
    with pytest.raises(FaqError) as caught:
        load_faq(path)
    assert f"{path}, line {line}: " in str(caught.value)
    assert said in str(caught.value)
    assert "YAML" in said or "expected a list of entries" in str(caught.value)


def test_missing_file(tmp_path):
    """A missing file is named, with the setting that names it."""
    with pytest.raises(FaqError, match=r"none.yaml: No such file or directory. HELPER_BOT_FAQ names it"):
        load_faq(tmp_path / "none.yaml")


@pytest.mark.parametrize("content", [b"- \xff\xfe", b"- \x00"])
def test_no_text(tmp_path, content):
    """A file that isn't text is refused."""
    path = tmp_path / "faq.yaml"
    path.write_bytes(content)
    with pytest.raises(FaqError, match="this is not"):
        load_faq(path)
