"""What handlers meet on a stage outside themselves: Sendbird, which is the sandbox, and mail."""

from __future__ import annotations

import pytest

from receiver import (
    BotMessage,
    Handlers,
    MailRefused,
    MailUnavailable,
    MessageSent,
    SendbirdRefused,
    SendbirdUnavailable,
)
from receiver.mail.message import Mail
from receiver.testing import Stage, run


@pytest.fixture
def handlers():
    return Handlers("greeter")


@pytest.fixture
def ask(handlers):
    """Have a handler do something with the client; return what came out."""

    async def ask(stage_options, call, **options):
        found = []

        @handlers.on("*", name=f"ask{len(list(handlers))}")
        async def handler(event, context):
            found.append(await call(event, context.sendbird))

        outcome = await run(handlers, MessageSent, **stage_options, **options)
        return found[-1], outcome

    return ask


async def test_people_are_known(ask):
    """Sendbird knows who is in the event, what they are, and the channel with its members."""
    members = [
        {"user_id": "bo", "nickname": "Bo", "is_online": True, "metadata": {"email": "bo@example.com"}}
    ]
    given = {"sender": "ana", "channel": "c1", "members": members}
    bo, _ = await ask(given, lambda event, sendbird: sendbird.get_user("bo"))
    assert (bo.nickname, bo.is_online, bo.metadata) == ("Bo", True, {"email": "bo@example.com"})
    channel, outcome = await ask(given, lambda event, sendbird: sendbird.get_channel("c1", show_member=True))
    assert {"ana", "bo"} <= {user.user_id for user in channel.members}
    [call] = outcome.calls[-1:]
    assert (call.method, call.path, call.status, call.effect) == ("GET", "/group_channels/c1", 200, "none")
    assert call.query["show_member"] == "true"


async def test_later_members_are_invited(handlers):
    """Who comes with a later event of the channel is in it as well."""

    @handlers.on("*")
    async def send(event, context):
        await context.sendbird.send_message("c1", "hi", user_id=event.sender.user_id)

    async with Stage(handlers) as stage:
        for sender in ("ana", "bo"):
            (await stage.send(MessageSent, sender=sender, channel="c1")).assert_done()
        channel = await stage.sendbird.get_channel("c1", show_member=True)
    assert {"ana", "bo"} <= {user.user_id for user in channel.members}


async def test_strangers_are_unknown(ask):
    """Whom no event named, Sendbird refuses."""
    with pytest.raises(SendbirdRefused) as caught:
        await ask({}, lambda event, sendbird: sendbird.get_user("nobody"))
    assert caught.value.code == 400201


async def test_what_a_test_calls_is_nobodys_doing(handlers):
    """A test can set the scene with the client; that is in no outcome."""

    @handlers.on("*")
    async def look(event, context):
        context.log.info((await context.sendbird.get_user("cy")).nickname)

    async with Stage(handlers) as stage:
        await stage.sendbird.call(
            "POST", "/users", json={"user_id": "cy", "nickname": "Cy", "profile_url": ""}
        )
        outcome = await stage.send(MessageSent)
    assert [entry["event"] for entry in outcome.log] == ["Cy"]
    assert [call.method for call in outcome.calls] == ["GET"]


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ({}, SendbirdUnavailable, 503),
        ({"status": 429}, SendbirdUnavailable, 429),
        ({"status": 400, "code": 400105}, SendbirdRefused, 400),
        ({"away": True}, SendbirdUnavailable, 0),
        ({"lost": True}, SendbirdUnavailable, 0),
    ],
)
async def test_sendbird_fails(handlers, fault, error, status):
    """Sendbird's next calls fail as they are told to, once each; those after them don't."""
    handlers.bot("gif_bot").message()(lambda event, context: "hi")
    async with Stage(handlers) as stage:
        stage.sendbird_fails(**fault)
        outcome = await stage.send(BotMessage, catch=True)
        assert type(outcome.error) is error
        assert outcome.calls[0].status == status
        if error is SendbirdRefused:
            outcome.assert_dead()
            return
        again = await stage.settle()
        assert [*outcome.replies, *again.replies] == ["hi"]


async def test_a_lost_answer_was_done(handlers):
    """Of a lost answer the handler knows nothing, but it was done: the repeat is known by its dedup_id."""
    handlers.bot("gif_bot").message()(lambda event, context: "hi")
    async with Stage(handlers) as stage:
        stage.sendbird_fails(lost=True)
        outcome = await stage.send(BotMessage, catch=True)
        assert (outcome.replies, outcome.status) == (["hi"], {"greeter.gif_bot": "failed"})
        again = await stage.settle()
        assert [call.effect for call in again.calls] == ["repeat"]


async def test_several_failures(handlers):
    """So many calls fail as are told to."""
    handlers.bot("gif_bot").message()(lambda event, context: "hi")
    async with Stage(handlers) as stage:
        stage.sendbird_fails(next=3)
        first = await stage.send(BotMessage, catch=True)
        rest = await stage.settle(catch=True)
        assert [run.status for run in (*first.runs, *rest.runs)] == ["failed"] * 3 + ["done"]


def test_a_call_fails_one_way(handlers):
    """No connection and no answer exclude each other."""
    with pytest.raises(ValueError, match="either way, not both"):
        Stage(handlers).sendbird_fails(away=True, lost=True)


@pytest.fixture
def mailing(handlers):
    """Have a handler send two mails."""

    @handlers.on("*")
    async def mail(event, context):
        for name in ("ana", "bo"):
            await context.mailer.send(
                Mail(to=f"{name} <{name}@example.com>", subject="Käse", text="Hello", html="<b>Hello</b>")
            )

    return handlers


async def test_mails(mailing):
    """Mails are kept as they would be sent."""
    outcome = await run(mailing, MessageSent)
    assert [mail.to for mail in outcome.mails] == ["ana@example.com", "bo@example.com"]
    mail = outcome.mails[0]
    assert (mail.subject, mail.text.strip(), mail.html.strip()) == ("Käse", "Hello", "<b>Hello</b>")
    assert mail.sender == "chat@receiver.test"
    assert mail.message["Auto-Submitted"] == "auto-generated"
    outcome.assert_mailed("bo@example.com", subject="Käse", containing="Hell", times=1)


@pytest.mark.parametrize(
    ("fault", "error"),
    [({}, MailUnavailable), ({"status": 550}, MailRefused), ({"away": True}, MailUnavailable)],
)
async def test_mail_fails(mailing, fault, error):
    """Mails fail as they are told to; in the next attempt, what was sent isn't sent again."""
    async with Stage(mailing) as stage:
        first = await stage.send(MessageSent)
        repeated = await stage.repeat(first.event)
        assert (len(first.mails), repeated.mails) == (2, [])
        stage.mail_fails(**fault)
        outcome = await stage.send(MessageSent, catch=True)
        assert type(outcome.error) is error
        assert outcome.mails == []
        assert len((await stage.settle()).mails) == (0 if error is MailRefused else 2)


async def test_a_mail_whose_answer_is_lost(mailing):
    """A mail whose answer is lost was sent, and is sent again with the same Message-ID."""
    async with Stage(mailing) as stage:
        stage.mail_fails(lost=True)
        outcome = await stage.send(MessageSent, catch=True)
        again = await stage.settle()
    assert [len(outcome.mails), len(again.mails)] == [1, 2]
    assert outcome.mails[0].message_id == again.mails[0].message_id


async def test_unsubscribing(handlers):
    """Links to unsubscribe are there, and who has unsubscribed is known."""

    @handlers.on("*")
    async def look(event, context):
        context.log.info(context.mailer.unsubscribe_url("digest", "ana"))
        context.log.info(await context.mailer.is_unsubscribed("digest", "ana"))

    async with Stage(handlers) as stage:
        before = await stage.send(MessageSent)
        await stage.unsubscribe("digest", "ana")
        after = await stage.send(MessageSent)
    assert before.log[0]["event"].startswith("https://receiver.test/unsubscribe/")
    assert (before.log[1]["event"], after.log[1]["event"]) == (False, True)
