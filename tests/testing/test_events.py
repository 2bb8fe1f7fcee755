"""Making events and requests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_type_hints

import pytest

from receiver import (
    BotMessage,
    Change,
    Channel,
    Event,
    File,
    MembersJoined,
    MessageDeleted,
    MessageRead,
    MessageSent,
    ReadUpdate,
    UnknownEvent,
    User,
    UserBlocked,
    UserUnblocked,
    samples,
)
from receiver.errors import Rejected
from receiver.events import CATEGORIES
from receiver.intake import Intake
from receiver.testing import API_TOKEN, BOT_TOKEN, make_event, make_request
from receiver.testing.overrides import Options, Overrides, names

USERS = ("blocked", "blocker", "inviter", "offender", "reporter", "requester", "sender", "user")
MANY_USERS = ("invitees", "mentioned_users", "members", "operators", "users")
KINDS = sorted({category.event for category in CATEGORIES.values()}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category(category):
    """There is an event of every category, of the category's class."""
    event = make_event(category)
    assert event.category == category
    assert type(event) is CATEGORIES[category].event


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_override(kind):
    """What is said by a field's name is what the event's field then says."""
    for name in names(kind):
        if name in USERS:
            assert getattr(make_event(kind, **{name: "ana"}), name).user_id == "ana"
        elif name in MANY_USERS:
            found = getattr(make_event(kind, **{name: ["ana", User("bo", "Bo")]}), name)
            assert {"ana", "bo"} <= {user.user_id for user in found}
        elif name == "message_id":
            assert make_event(kind, message_id=7).message_id == 7
        elif name in ("channel", "bot", "file", "files", "changes", "updates", "translations", "mentioned"):
            pass  # each has a test below
        elif name == "reaction":
            assert make_event(kind, reaction="cake").reaction.key == "cake"
        elif name in ("silent", "parent_message_id"):
            assert getattr(make_event(kind, **{name: 1}), name) == 1
        else:
            assert getattr(make_event(kind, **{name: "something"}), name) == "something"


def test_names_are_fields():
    """Every name that can be given is a field of the event, and known to type checkers."""
    for kind in KINDS:
        for name in names(kind):
            assert hasattr(kind, name), (kind, name)
    assert set(get_type_hints(Overrides)) == {name for kind in KINDS for name in names(kind)}
    assert set(get_type_hints(Options)) - set(get_type_hints(Overrides)) == {
        "type",
        "case",
        "at",
        "received_at",
        "replay_of",
        "raw",
    }


def test_structures():
    """Channels, bots, files, mentions, changes and readers are written as Sendbird writes them."""
    event = make_event(MessageSent, channel=Channel("c1", name="Cake"), file="https://files.example/a.jpg")
    assert (event.channel.channel_url, event.channel.name, event.conversation) == ("c1", "Cake", "c1")
    assert event.type == "FILE"
    assert event.file.url == "https://files.example/a.jpg"
    assert make_event(MessageSent, translations={"fi": "hei"}).translations == {"fi": "hei"}
    callback = make_event(
        BotMessage, bot="cake_bot", mentioned=["cake_bot"], files=["https://files.example/b"]
    )
    assert (callback.bot.userid, callback.mentioned) == ("cake_bot", ("cake_bot",))
    assert [file.url for file in callback.files] == ["https://files.example/b"]
    changed = make_event("group_channel:changed", changes=[{"key": "name", "old": "a", "new": "b"}])
    assert [(one.key, one.new) for one in changed.changes] == [("name", "b")]
    read = make_event(MessageRead, updates=["ana", {"user_id": "bo", "read_ts": 1_700_000_000_000}])
    assert [one.user_id for one in read.updates] == ["ana", "bo"]
    assert read.updates[0].read_at is not None


def test_objects_of_the_face():
    """The face's own objects can be given, too."""
    sent = make_event(
        MessageSent, file=File("https://files.example/a", name="a.jpg", size=12), sender=User("ana")
    )
    assert (sent.file.name, sent.file.size, sent.sender.user_id) == ("a.jpg", 12, "ana")
    at = datetime(2026, 1, 2, tzinfo=UTC)
    read = make_event(MessageRead, updates=[ReadUpdate("ana", at, 0, 3)])
    assert (read.updates[0].read_at, read.updates[0].total_unread_message_count) == (at, 3)
    frozen = make_event("group_channel:freeze_unfreeze", channel=Channel("c1", is_frozen=True))
    assert frozen.channel.is_frozen
    assert make_event("group_channel:changed", changes=[Change("name", "a", "b")]).changes[0].old == "a"
    with pytest.raises(TypeError, match="expected an id, an object of the receiver's or a dict, got int"):
        make_event(MessageSent, sender=12)


def test_a_dict_adds_to_the_channel():
    """What is not said of the channel stays as the sample has it."""
    event = make_event(MessageSent, channel={"custom_type": "support"})
    assert (event.channel.custom_type, event.channel.name) == ("support", "Lakeside bakery")


def test_the_sender_is_a_member():
    """The sender is among the members, once, whether the test names them or not."""
    for members in (["bo"], ["bo", "ana"], []):
        event = make_event(MessageSent, sender="ana", members=members)
        assert sorted(one.user_id for one in event.members) == sorted({"ana", *members})


def test_none():
    """None is for nobody, and for a text that is null."""
    event = make_event(MessageSent, sender=None, text=None)
    assert (event.sender, event.text) == (None, "")


def test_unknown_field():
    """A field that such events don't have is an error that says which there are."""
    with pytest.raises(
        TypeError, match=r"MessageSent has no 'txt'\. Did you mean text\? There are: app_id, cha"
    ):
        make_event(MessageSent, txt="hi")  # type: ignore[call-overload] # that is what is tested
    with pytest.raises(TypeError, match="UserBlocked has no 'text'"):
        make_event(UserBlocked, text="hi")


def test_a_class_that_is_no_events():
    """A class that no category has is an error, too."""
    with pytest.raises(TypeError, match="give a class such as MessageSent, or a category"):
        make_event(Event)


def test_classes_stand_for_categories():
    """A class stands for group channels where it can; an unknown event is one that Sendbird may add."""
    assert make_event(MessageSent).category == "group_channel:message_send"
    assert make_event(MessageDeleted).category == "group_channel:message_delete"
    assert make_event(UserUnblocked).blocked is not None
    assert make_event(UnknownEvent).category not in CATEGORIES


def test_types_and_cases():
    """Which sample it begins with can be said by type and by case."""
    assert make_event(MessageSent, type="ADMM").sender is None
    assert make_event(MessageSent, case="mesg-2016").message_id is None
    with pytest.raises(samples.SampleNotFound, match="no type 'VOICE'"):
        make_event(MessageSent, type="VOICE")


def test_raw():
    """Any path of the body can be written, last of all."""
    event = make_event(MessageSent, text="hi", raw={"payload.message": "bye", "new.field": [1]})
    assert (event.text, event.raw["new"]) == ("bye", {"field": [1]})
    with pytest.raises(Rejected, match="category"):
        make_event(MessageSent, raw={"category": None})


def test_each_is_another_event():
    """No two events pass for the same, though they are made in the same millisecond."""
    for kind in (MessageSent, MembersJoined, BotMessage):
        made = [make_event(kind) for _ in range(50)]
        assert len({event.id for event in made}) == 50
        assert len({event._envelope.identity for event in made}) == 50
        assert "" not in {event._envelope.identity for event in made}


def test_times():
    """When it happened and when it was received can be said; the first is the second by default."""
    then, later = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, 4, tzinfo=UTC)
    event = make_event(MessageSent, at=then, received_at=later)
    assert (event.occurred_at, event.received_at) == (then, later)
    event = make_event(MessageSent, received_at=later)
    assert abs((event.occurred_at - later).total_seconds()) < 1
    with pytest.raises(ValueError, match="expected an aware datetime"):
        make_event(MessageSent, at=datetime(2026, 1, 2))  # noqa: DTZ001 - that is what is tested


@pytest.mark.parametrize("token", [None, "another-token"])
def test_webhook_request(token):
    """A webhook's request is accepted under the token that signs it, and no other."""
    headers, body = make_request(MessageSent, text="hi/ä", token=token)
    signature = headers["x-sendbird-signature"].encode()
    envelope = Intake([(token or API_TOKEN).encode()]).webhook(signature, body)
    assert envelope.category == "group_channel:message_send"
    assert b"hi\\/\\u00e4" in body
    with pytest.raises(Rejected):
        Intake([b"neither"]).webhook(signature, body)


@pytest.mark.parametrize("token", [None, "another-token"])
def test_callback_request(token):
    """A bot's callback carries the bot's token."""
    request = make_request(make_event(BotMessage, bot="cake_bot"), token=token)
    intake = Intake([])
    claim = intake.bot_claim(request.body)
    assert claim.userid == "cake_bot"
    assert intake.is_proved(claim, token or BOT_TOKEN)


def test_request_of_an_event():
    """An event's request has its very bytes; nothing more can be said of it then."""
    event = make_event(MessageSent, text="hi")
    assert make_request(event).body == event._envelope.body
    with pytest.raises(TypeError, match="text goes with a class or a category"):
        make_request(event, text="bye")


def test_a_replay():
    """A replayed event says of which, and has no identity that would make it a repeat."""
    event = make_event(MessageSent, replay_of="abc", text="hi")
    assert (event.replay_of, event.text, event._envelope.identity) == ("abc", "hi", "")
    assert make_event(MessageSent).replay_of is None
