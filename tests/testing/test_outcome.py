"""Assertions on outcomes: they hold when they should, and say what happened when they don't."""

from __future__ import annotations

import re

import pytest

from receiver import BotMessage, Handlers, MessageSent
from receiver.mail.message import Mail
from receiver.testing import run


@pytest.fixture
async def outcome():
    """An outcome with a reply, a mail and a call."""
    handlers = Handlers("greeter")
    bot = handlers.bot("gif_bot")

    @bot.message()
    async def answer(event, context):
        await context.mailer.send(Mail(to="ana@example.com", subject="Cake", text="Come and eat."))
        await context.sendbird.update_user(event.sender.user_id, nickname="Ana")
        return "Hello, Ana"

    return await run(handlers, BotMessage, sender="ana", channel="c1")


async def test_what_holds(outcome):
    """What happened can be asserted, by any of its traits."""
    outcome.assert_replied()
    outcome.assert_replied("Hello, Ana", bot="gif_bot", channel="c1", times=1)
    outcome.assert_replied(containing="Ana")
    outcome.assert_replied(re.compile("^hello", re.IGNORECASE))
    outcome.assert_replied("Bye", times=0)
    outcome.assert_mailed("ana@example.com", subject="Cake", containing="eat", times=1)
    outcome.assert_called("PUT", "/users/ana", {"nickname": "Ana"}, status=200, times=1)
    outcome.assert_called("put", re.compile("^/users/"))
    outcome.assert_done("gif_bot")
    outcome.assert_done("greeter.gif_bot")
    outcome.raise_for_error()


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (lambda one: one.assert_replied("Bye"), "expected a reply with text 'Bye'"),
        (lambda one: one.assert_replied(re.compile("^B")), "expected a reply with text matching /^B/"),
        (lambda one: one.assert_replied(channel="c2"), "expected a reply with channel 'c2'"),
        (lambda one: one.assert_replied(bot="cake_bot"), "expected a reply with bot 'cake_bot'"),
        (lambda one: one.assert_replied(times=2), "expected a reply 2 times, found 1"),
        (lambda one: one.assert_mailed("bo@example.com"), "expected a mail with to 'bo@example.com'"),
        (lambda one: one.assert_mailed(subject="Tea"), "expected a mail with subject 'Tea'"),
        (lambda one: one.assert_mailed(containing="drink"), "expected a mail with containing 'drink'"),
        (lambda one: one.assert_called("GET", "/users/ana"), "expected a call GET '/users/ana'"),
        (lambda one: one.assert_called("PUT", "/users/ana", {"nickname": "Bo"}), "expected a call PUT"),
        (lambda one: one.assert_called("PUT", "/users/ana", status=400), "with status 400"),
        (lambda one: one.assert_nothing(), "expected no reply, no mail and no call"),
        (lambda one: one.assert_skipped(), "expected every handler to be skipped"),
        (lambda one: one.assert_done("other"), "expected other to be done"),
        (lambda one: one.assert_dead(), "expected every handler to be dead"),
    ],
)
async def test_what_does_not_hold(outcome, claim, said):
    """A claim that doesn't hold says what it expected, and all that happened."""
    with pytest.raises(AssertionError) as caught:
        claim(outcome)
    message = str(caught.value)
    assert said in message
    for happened in (
        "greeter.gif_bot: done",
        "replied 'Hello, Ana' as gif_bot",
        "mailed 'Cake'",
        "PUT /users/ana",
    ):
        assert happened in message


async def test_nothing():
    """Where nothing happens that can be asserted; where no handler was reached it says why."""
    handlers = Handlers("greeter")
    handlers.on("group_channel:message_send", name="files", type="FILE")(lambda event, context: None)
    handlers.bot("gif_bot")
    outcome = await run(handlers, MessageSent, text="hi")
    outcome.assert_nothing()
    with pytest.raises(AssertionError) as caught:
        outcome.assert_done()
    assert "nothing ran: no handler wants this event" in str(caught.value)
    assert "greeter.files: type is 'MESG', not FILE" in str(caught.value)
    outcome = await run(handlers, BotMessage, bot="cake_bot")
    with pytest.raises(AssertionError, match=r"greeter\.gif_bot: bot is 'cake_bot', not gif_bot"):
        outcome.assert_replied()


async def test_errors_are_told():
    """A handler's error is told where a claim doesn't hold because of it."""
    handlers = Handlers("greeter")

    @handlers.on("*", retries=0)
    async def fail(event, context):
        raise ValueError("no cake")

    outcome = await run(handlers, MessageSent, catch=True)
    with pytest.raises(AssertionError, match=r"greeter\.fail: dead \(ValueError: no cake\)"):
        outcome.assert_done()
    with pytest.raises(ValueError, match="no cake"):
        outcome.raise_for_error()
