"""The plugin on a stage: who gets which mail, when, and what Sendbird is asked before."""

from __future__ import annotations

import re

import pytest

import handlers.offline_email as plugin
from handlers.offline_email.hourly import HOUR, Hourly
from receiver import MailUnavailable, MessageRead, MessageSent, Permanent, SendbirdUnavailable
from tests.handlers.offline_email.chat import ADA, BO, CY, QUIET, Chat, person


@pytest.fixture
async def chat():
    async with Chat() as chat:
        yield chat


def said(mail):
    """Return what a mail's text says was written, by conversation."""
    found = {}
    for block in re.split(r"\n(?=[^\n]+ · \d+ new\n-+\n)", mail.text):
        title = re.match(r"(.+) · \d+ new\n", block)
        if title:
            body = block.partition("-" * 40)[2].partition("-" * 40)[0]
            found[title[1]] = re.findall(r"^  (.+)$", body, re.MULTILINE)
    return found


async def test_one_digest(chat):
    """Messages of all channels are one mail after the quiet time, and none before."""
    await chat.say("one")
    await chat.say("two", sender=CY, channel="c2", name="Garden")
    assert await chat.turn(QUIET - 10) == []
    await chat.say("three")
    assert await chat.turn(QUIET - 10) == []
    [mail] = await chat.turn(10)
    assert (mail.to, mail.subject) == ("ada@example.com", "3 unread messages from Bo and Cy")
    assert said(mail) == {"Bakery": ["one", "three"], "Garden": ["two"]}
    assert (await chat.settle()).mails == []


async def test_longest(chat):
    """Where messages keep coming, a mail goes out after the longest wait."""
    for number in range(20):
        await chat.say(str(number))
        await chat.turn(200)
    [mail] = chat.mails
    assert mail.subject == "18 unread messages from Bo"


async def test_most():
    """OFFLINE_EMAIL_MOST and the times are the collect's."""
    window = plugin.digest.window
    assert (window.quiet, window.longest, window.most) == (300, 3600, 300)


async def test_each_their_own(chat):
    """Everybody who was offline gets a mail of their own; who sent, or was online, gets none."""
    online = person("di", is_online=True)
    await chat.say("hi", to=(ADA, CY, online))
    assert sorted(mail.to for mail in await chat.turn()) == ["ada@example.com", "cy@example.com"]


async def test_a_reader_who_answers(chat):
    """Nobody is mailed what they wrote themselves."""
    await chat.say("question", sender=BO, to=(ADA,))
    await chat.say("answer", sender=ADA, to=(BO,))
    assert {mail.to: said(mail) for mail in await chat.turn()} == {"bo@example.com": {"Bakery": ["answer"]}}


async def test_one_gather(chat):
    """All readers of a message are gathered at once, and the reasons of the others are in the debug log."""
    await chat.say("hi", to=(ADA, CY, person("di", is_online=True)))
    assert sorted(chat.stage.gathered) == ["ada", "cy"]
    [entry] = [entry for entry in chat.log if entry["event"] == "looked for readers"]
    assert (entry["level"], entry["readers"], entry["others"]) == ("debug", 2, {"sent it": 1, "is online": 1})


async def test_silent(chat):
    """A silent message is no mail."""
    await chat.say("hi", silent=True)
    assert chat.stage.gathered == {}


class TestRead:
    """What was read is no mail."""

    async def test_cancelled(self, chat):
        """A message_read drops that channel's messages for that reader, and no others."""
        await chat.say("one", to=(ADA, CY))
        await chat.say("two", channel="c2", name="Garden")
        await chat.read(ADA)
        assert [event.conversation for event in chat.stage.gathered["ada"]] == ["c2"]
        assert [event.conversation for event in chat.stage.gathered["cy"]] == ["c1"]
        mails = await chat.turn()
        assert {mail.to: said(mail) for mail in mails} == {
            "ada@example.com": {"Garden": ["two"]},
            "cy@example.com": {"Bakery": ["one"]},
        }

    async def test_several_at_once(self, chat):
        """One message_read can be of several readers."""
        await chat.say("one", to=(ADA, CY))
        await chat.read(ADA, CY)
        assert chat.stage.gathered == {}

    @pytest.mark.parametrize("updates", [12, None, {}, [], ["x", None, {}, {"user_id": ""}]])
    async def test_odd_updates(self, chat, updates):
        """Updates that are none drop nothing."""
        await chat.say("one")
        outcome = await chat.stage.send(MessageRead, channel="c1", raw={"read_updates": updates})
        outcome.assert_done()
        assert list(chat.stage.gathered) == ["ada"]

    async def test_read_in_part(self, chat):
        """Who has still something unread there loses nothing: what it is, Sendbird is asked."""
        await chat.say("one")
        update = {"user_id": "ada", "channel_unread_message_count": 1}
        await chat.stage.send(MessageRead, updates=[update], channel="c1")
        assert [mail.to for mail in await chat.turn()] == ["ada@example.com"]

    async def test_asked(self, chat):
        """Without the webhook the API's count decides: nothing unread is no mail."""
        await chat.say("one")
        await chat.read(ADA, webhook=False)
        assert await chat.turn() == []
        assert chat.why() == ["everything was read, or deleted"]

    async def test_only_what_is_unread(self, chat):
        """Of a channel that was read in between only the later messages are in the mail."""
        await chat.say("old")
        await chat.read(ADA, webhook=False)
        await chat.say("new")
        await chat.say("other", channel="c2", name="Garden")
        await chat.read(ADA, channel="c2", webhook=False)
        [mail] = await chat.turn()
        assert said(mail) == {"Bakery": ["new"]}

    async def test_left(self, chat):
        """A channel that the reader has left, or that is gone, is left out."""
        await chat.say("one")
        await chat.say("two", channel="c2", name="Garden")
        await chat.say("three", channel="c3", name="Kitchen")
        await chat.stage.sendbird.call("PUT", "/group_channels/c1/leave", json={"user_ids": ["ada"]})
        await chat.stage.sendbird.call("DELETE", "/group_channels/c2")
        [mail] = await chat.turn()
        assert said(mail) == {"Kitchen": ["three"]}


class TestChanged:
    """Messages that were changed or deleted before the mail goes out."""

    async def test_deleted(self, chat):
        """A deleted message is in no mail."""
        gone = await chat.say("a secret that slipped out")
        await chat.say("hello")
        await chat.stage.sendbird.call("DELETE", f"/group_channels/c1/messages/{gone['message_id']}")
        [mail] = await chat.turn()
        assert said(mail) == {"Bakery": ["hello"]}
        assert "secret" not in mail.html
        assert mail.subject == "1 unread message from Bo"

    async def test_all_deleted(self, chat):
        """Where nothing is left, there is no mail."""
        gone = await chat.say("oops")
        await chat.stage.sendbird.call("DELETE", f"/group_channels/c1/messages/{gone['message_id']}")
        assert await chat.turn() == []

    async def test_changed(self, chat):
        """A changed message says what it says now."""
        sent = await chat.say("helo")
        body = {"message_type": "MESG", "message": "hello"}
        await chat.stage.sendbird.call("PUT", f"/group_channels/c1/messages/{sent['message_id']}", json=body)
        [mail] = await chat.turn()
        assert said(mail) == {"Bakery": ["hello"]}

    async def test_not_asked(self):
        """With OFFLINE_EMAIL_ASK_FOR_CHANGES=false Sendbird isn't asked: the webhook's text counts."""
        async with Chat(ask_for_changes=False) as chat:
            sent = await chat.say("helo")
            body = {"message_type": "MESG", "message": "hello"}
            await chat.stage.sendbird.call(
                "PUT", f"/group_channels/c1/messages/{sent['message_id']}", json=body
            )
            outcome = await chat.settle()
            assert said(outcome.mails[0]) == {"Bakery": ["helo"]}
            assert [call.path for call in outcome.calls if call.path.endswith("/messages")] == []


class TestKinds:
    """Other messages than texts."""

    async def test_file(self, chat):
        """A file is named, with a link and its size."""
        await chat.say("https://files.example.com/plan?x=1&y=2", kind="FILE")
        [mail] = await chat.turn()
        assert "File: plan.pdf (1.4 MB)\n  https://files.example.com/plan?x=1&y=2\n" in mail.text
        assert '<a class="link" href="https://files.example.com/plan?x=1&amp;y=2"' in mail.html

    async def test_admin(self, chat):
        """An admin message is marked."""
        await chat.say("Closed today", sender=None, kind="ADMM")
        [mail] = await chat.turn()
        assert re.search(r"\[Announcement\] · .*\n  Closed today", mail.text)
        assert mail.subject == "1 unread message in Bakery"


class TestReader:
    """Whom the mail goes to, and whether they want it."""

    async def test_language_and_zone(self, chat):
        """Language and time zone come from the metadata."""
        metadata = {"language": "de", "timezone": "Asia/Seoul"}
        await chat.say("hi", to=(person("ada", metadata=metadata),))
        [mail] = await chat.turn()
        assert mail.subject == "1 ungelesene Nachricht von Bo"
        assert "Zeiten gelten für Asia/Seoul." in mail.text
        assert mail.message["Content-Language"] == "de"
        assert mail.message["To"] == "Ada <ada@example.com>"

    async def test_metadata_is_asked_for(self, chat):
        """What the API says of metadata goes before what came with the webhook: it is newer."""
        await chat.say("hi")
        await chat.stage.sendbird.call(
            "POST", "/users/ada/metadata", json={"metadata": {"offline_email": "off"}}
        )
        assert await chat.turn() == []
        assert chat.why() == ["they want none"]

    async def test_metadata_of_the_api(self, chat):
        """Metadata that didn't is asked for."""
        await chat.meet("c1", "Bakery", ADA)
        await chat.say("hi", members=[ADA | {"metadata": {}}])
        outcome = await chat.settle()
        outcome.assert_called("GET", "/users/ada/metadata")
        outcome.assert_mailed("ada@example.com")

    async def test_no_address(self, chat):
        """Without an address there is no mail; Sendbird isn't asked what is unread."""
        await chat.say("hi", to=(person("ada", email=False),))
        outcome = await chat.settle()
        assert chat.why() == ["no address is known"]
        assert not [call for call in outcome.calls if "unread" in call.path]

    async def test_unknown_to_sendbird(self, chat):
        """A user whom Sendbird doesn't know (any more) has no address."""
        await chat.say("hi", to=(), members=[person("gone", email=False)])
        await chat.stage.sendbird.call("DELETE", "/users/gone")
        await chat.turn()
        assert chat.why() == ["no address is known"]

    @pytest.mark.parametrize("value", ["off", "no"])
    async def test_opted_out(self, chat, value):
        """Metadata can say that a user wants no mails."""
        await chat.say("hi", to=(person("ada", metadata={"offline_email": value}),))
        assert await chat.turn() == []
        assert chat.why() == ["they want none"]

    async def test_opted_out_by_the_source(self, tmp_path):
        """A source of addresses can say so, too; metadata counts beside it."""
        path = tmp_path / "readers.csv"
        path.write_text(
            "user_id,email,wants_mail\nada,a@example.org,no\nbo,b@example.org,\ncy,c@example.org,yes\n"
        )
        off = person("bo", metadata={"offline_email": "off"})
        async with Chat(addresses=f"csv:{path}") as chat:
            await chat.say("hi", sender=person("di"), to=(ADA, off, CY))
            assert [mail.to for mail in await chat.turn()] == ["c@example.org"]

    async def test_unsubscribed(self, chat):
        """Who has unsubscribed gets no mail."""
        await chat.stage._around.mail.opt_outs.add(_subscription("ada"))
        await chat.say("hi", to=(ADA, CY))
        assert [mail.to for mail in await chat.turn()] == ["cy@example.com"]
        assert chat.why() == ["they have unsubscribed"]

    async def test_link_to_unsubscribe(self, chat):
        """The mail has a link to unsubscribe, for one click and in the text."""
        await chat.say("hi")
        [mail] = await chat.turn()
        link = mail.message["List-Unsubscribe"].strip("<>")
        assert link.startswith("https://receiver.test/unsubscribe/")
        assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert link in mail.text
        assert f'href="{link}"' in mail.html

    async def test_no_link(self, chat):
        """Without RECEIVER_PUBLIC_URL the mail goes without it, and the log says so once."""
        chat.stage._around.mail.public_url = None
        await chat.say("hi", to=(ADA, CY))
        mails = await chat.turn()
        assert [mail.message["List-Unsubscribe"] for mail in mails] == [None, None]
        assert "No more mails" not in mails[0].text
        assert len([entry for entry in chat.log if "without a link to unsubscribe" in entry["event"]]) == 1

    async def test_bot(self, tmp_path):
        """A bot gets no mail, even with an address, and where the webhook doesn't say that it is one."""
        path = tmp_path / "readers.csv"
        path.write_text("user_id,email\nhelper,helper@example.org\nada,ada@example.org\n")
        async with Chat(addresses=f"csv:{path}") as chat:
            face = {
                "bot_userid": "helper",
                "bot_nickname": "H",
                "bot_profile_url": "",
                "bot_callback_url": "",
            }
            await chat.stage.sendbird.call("POST", "/bots", json={**face, "is_privacy_mode": True})
            await chat.say("hi", members=[ADA, person("helper")])
            assert [mail.to for mail in await chat.turn()] == ["ada@example.org"]
            assert chat.why() == ["it is a bot"]

    async def test_message_of_a_bot(self, chat):
        """What a bot says is mailed like anybody's message."""
        await chat.say("I am a bot", sender=person("robot", "Robot"))
        [mail] = await chat.turn()
        assert mail.subject == "1 unread message from Robot"

    async def test_wrong_address(self, chat):
        """A wrong address is a dead letter at once, without what was written."""
        await chat.say("secret words", to=(person("ada", metadata={"email": "nowhere"}),))
        outcome = await chat.settle(catch=True)
        outcome.assert_dead("digest")
        assert isinstance(outcome.error, Permanent)
        assert "the user ada" in str(outcome.error)
        assert "secret" not in str(outcome.error)
        assert len(outcome.runs) == 1


def _subscription(user_id):
    from receiver.mail.unsubscribe import Subscription

    return Subscription("offline_email", user_id)


class TestMembers:
    """Webhooks without members."""

    async def send(self, chat, times=1, **channel):
        for _ in range(times):
            sent = await chat.say("hi", webhook=False)
            await chat.tell(sent, "hi", members=None, raw=channel)

    def warnings(self, chat):
        return [entry["event"] for entry in chat.log if entry["level"] == "warning"]

    async def test_warned(self, chat):
        """It is said once an hour, with where to turn them on."""
        await self.send(chat, times=3)
        [warning] = self.warnings(chat)
        assert "Settings > Chat > Webhooks > Include member information" in warning
        assert "OFFLINE_EMAIL_ASK_FOR_MEMBERS" in warning
        assert chat.stage.gathered == {}

    async def test_supergroup(self, chat):
        """Of supergroups something else is said: there is no such switch."""
        await self.send(chat, **{"channel.is_super": True})
        await self.send(chat)
        one, other = self.warnings(chat)
        assert "never includes the members of supergroups" in one
        assert "Include member information" not in one
        assert "Include member information" in other

    async def test_asked(self):
        """With OFFLINE_EMAIL_ASK_FOR_MEMBERS the API is asked."""
        async with Chat(ask_for_members=10) as chat:
            await chat.meet("c1", "Bakery", BO, ADA, CY)
            await chat.stage.sendbird.call("PUT", "/users/cy", json={"is_online": True})
            await self.send(chat)
            assert list(chat.stage.gathered) == ["ada"]
            assert self.warnings(chat) == []
            assert [mail.to for mail in await chat.turn()] == ["ada@example.com"]

    async def test_asked_for_some(self):
        """Beyond so many members nobody is asked for, and that is said."""
        async with Chat(ask_for_members=2) as chat:
            await chat.meet("c1", "Bakery", BO, ADA, CY, person("di"))
            await self.send(chat)
            assert list(chat.stage.gathered) == ["ada"]
            assert "more members than OFFLINE_EMAIL_ASK_FOR_MEMBERS" in self.warnings(chat)[0]

    async def test_channel_gone(self):
        """A channel that is gone has no members."""
        async with Chat(ask_for_members=10) as chat:
            sent = await chat.say("hi", webhook=False)
            chat.stage.sendbird_fails(status=400, code=400201)
            (await chat.tell(sent, "hi", members=None)).assert_done()
            assert chat.stage.gathered == {}

    async def test_silent(self):
        """For a silent message nobody is asked for, and nothing is missed."""
        async with Chat(ask_for_members=10) as asking, Chat() as chat:
            for one in (asking, chat):
                sent = await one.say("hi", webhook=False)
                outcome = await one.tell(sent, "hi", members=None, silent=True)
                outcome.assert_nothing()
                assert self.warnings(one) == []

    async def test_api_away(self):
        """While the API is away, the message waits for its members."""
        async with Chat(ask_for_members=10) as chat:
            sent = await chat.say("hi", webhook=False)
            chat.stage.sendbird_fails(away=True)
            with pytest.raises(SendbirdUnavailable):
                await chat.tell(sent, "hi", members=None)
            outcome = await chat.settle(catch=True)
            outcome.assert_mailed("ada@example.com", times=1)


class TestFailures:
    """Nothing is lost, and nothing is mailed twice."""

    async def test_sendbird_away(self, chat):
        """While Sendbird is away, the mail waits; then it goes out, with what is unread by then."""
        await chat.say("one")
        chat.stage.sendbird_fails(next=5, away=True)
        outcome = await chat.settle(catch=True)
        assert isinstance(outcome.error, SendbirdUnavailable)
        outcome.assert_mailed("ada@example.com", times=1)

    async def test_mail_server_says_later(self, chat):
        """A 4xx is tried again, for hours: greylisting costs no mail."""
        await chat.say("one")
        chat.stage.mail_fails(next=plugin.RETRIES, status=451)
        outcome = await chat.settle(catch=True)
        assert isinstance(outcome.error, MailUnavailable)
        outcome.assert_mailed("ada@example.com", times=1)
        outcome.assert_done("digest")

    async def test_mail_server_refuses(self, chat):
        """A 5xx is a dead letter at once, with the server's words."""
        await chat.say("one")
        chat.stage.mail_fails(status=550)
        outcome = await chat.settle(catch=True)
        outcome.assert_dead("digest")
        assert "550" in str(outcome.error)
        assert len(outcome.runs) == 1

    async def test_lost_answer(self, chat):
        """A mail whose outcome is unknown is sent again under the same Message-ID."""
        await chat.say("one")
        chat.stage.mail_fails(lost=True)
        first, second = (await chat.settle(catch=True)).mails
        assert first.message_id == second.message_id
        assert first.text == second.text

    async def test_repeated_attempt(self, chat):
        """An attempt that is repeated after the mail was sent sends nothing, even with more unread."""
        await chat.say("one")
        outcome = await chat.settle()
        [run] = [run for run in outcome.runs if run.handler == "offline_email.digest"]
        await chat.say("two")
        again = await chat.stage.repeat(run.event)
        assert again.mails == []

    async def test_two_digests(self, chat):
        """Two digests have two Message-IDs; the second has only what came since."""
        await chat.say("one")
        [first] = await chat.turn()
        await chat.say("two")
        [second] = await chat.turn()
        assert first.message_id != second.message_id
        assert said(second) == {"Bakery": ["two"]}


async def test_loaded_by_name_only():
    """The plugin is loaded when it is named, not by default."""
    from receiver import discovery

    assert "handlers.offline_email" not in discovery.installed()
    assert list(discovery.load(["handlers.offline_email"])) == [
        "offline_email.digest",
        "offline_email.gather",
    ]


async def test_nothing_personal_in_logs(chat):
    """No log entry holds an address, a name or what was written."""
    await chat.say("secret words", sender=person("bo", "Bo Secretive"), to=(ADA, person("cy", email=False)))
    await chat.turn()
    assert chat.log
    for private in ("secret words", "ada@", "Secretive"):
        assert private not in str(chat.log)


def test_hourly():
    """A thing is said once an hour, each by itself."""
    now = [0.0]
    hourly = Hourly(lambda: now[0])
    assert [hourly.is_due("a"), hourly.is_due("a"), hourly.is_due("b")] == [True, False, True]
    now[0] = HOUR - 1
    assert not hourly.is_due("a")
    now[0] = HOUR
    assert hourly.is_due("a")
    assert not hourly.is_due("a")


async def test_2016(chat):
    """The messages of 2016, without ids and times, are mailed as they came."""
    event = chat.stage.make(MessageSent, case="mesg-2016", members=[ADA])
    await chat.meet(event.conversation, "Bakery", BO, ADA)
    body = {"message_type": "MESG", "message": "x", "user_id": "bo"}
    await chat.stage.sendbird.call("POST", f"/group_channels/{event.conversation}/messages", json=body)
    await chat.stage.send(event)
    [mail] = await chat.turn()
    assert event.text.split()[0] in mail.text
