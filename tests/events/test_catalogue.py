from __future__ import annotations

import dataclasses

import pytest

import receiver.events
from receiver import samples
from receiver.events import CATEGORIES, Event, Unclassifiable, UnknownEvent, classify
from receiver.events.classifying import LONGEST_CATEGORY

PREFIXES = {
    "open_channel": "create remove enter exit message_send message_update message_delete report",
    "group_channel": "create changed remove invite decline_invite join leave message_send message_read "
    "message_update message_delete freeze_unfreeze reaction_add reaction_delete report",
    "user": "block unblock report mute ban deactivate push_preference push_channel_preference "
    "device_token_register device_token_unregister",
    "operators": "register_by_operator unregister_by_operator",
    "message": "report moderation_extension_triggered",
    "profanity_filter": "replace block moderate detect",
    "image_moderation": "block",
    "alert": "user_message_rate_limit_exceeded",
    "announcement": "create_channels send_messages",
    "notification": "send_realtime send_batch template_create template_archive template_unarchive "
    "template_edit template_approval_update",
}
BOTS = {"bot_message_notification", "bot_event/group_channel:join", "bot_event/group_channel:leave"}


def test_every_category():
    """The catalogue holds each category that Sendbird documents, and those of bots."""
    documented = {f"{prefix}:{event}" for prefix, events in PREFIXES.items() for event in events.split()}
    assert CATEGORIES.keys() == documented | BOTS


def test_entries_explain_themselves():
    """Each category says in one sentence what happened, has a class, and knows by which road it comes."""
    for name, category in CATEGORIES.items():
        assert category.name == name
        assert category.summary.endswith(".")
        assert category.summary.count(".") == 1
        assert issubclass(category.event, Event)
        assert category.event not in (Event, UnknownEvent)
        assert category.source == ("bot" if name in BOTS else "webhook")


def test_catalogue_is_fixed():
    """Nobody can change the catalogue or an entry of it at run time."""
    with pytest.raises(TypeError):
        CATEGORIES["user:block"] = CATEGORIES["user:ban"]  # type: ignore[index]  # the point of the test
    with pytest.raises(dataclasses.FrozenInstanceError):
        CATEGORIES["user:block"].name = "user:hug"  # type: ignore[misc]  # the point of the test


def test_exported_names():
    """All public classes of the rooms are exported, and in order."""
    exported = receiver.events.__all__
    assert exported == sorted(exported, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert {category.event.__name__ for category in CATEGORIES.values()} <= set(exported)
    for name in exported:
        assert getattr(receiver.events, name)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "expected a JSON object, got null"),
        ([], "expected a JSON object, got an array"),
        ("group_channel:join", "expected a JSON object, got a string"),
        (True, "expected a JSON object, got a boolean"),
        (1.5, "expected a JSON object, got a number"),
        (b"{}", "expected a JSON object, got something else"),
        ({}, 'expected a "category" that is a string, such as "group_channel:join"; got none'),
        ({"category": None}, "got null in it"),
        ({"category": ["user:block"]}, "got an array in it"),
        ({"category": {}}, "got an object in it"),
        ({"category": 7}, "got a number in it"),
        ({"category": ""}, "got an empty one"),
        ({"category": "  "}, "got an empty one"),
        ({"category": "x" * (LONGEST_CATEGORY + 1)}, "at most 200 characters, got 201"),
        ({"category": "user:\nblock"}, "printable"),
        ({"category": "user:\x00"}, "printable"),
        ({"category": "user:\ud800"}, "printable"),
    ],
)
def test_unclassifiable(data, told):
    """A body without a usable category is refused, and the message says what was expected and what came."""
    with pytest.raises(Unclassifiable) as caught:
        classify(data)
    assert told in str(caught.value)


def test_refusal_shows_nothing():
    """What was refused is not shown: it may be a secret."""
    for data in ("s3cret", {"category": ["s3cret"]}, {"category": "s3cret\n"}, {"category": "s3cret" * 99}):
        with pytest.raises(Unclassifiable) as caught:
            classify(data)
        assert "s3cret" not in str(caught.value)


def test_longest_category():
    """An unknown category of 200 characters is welcome."""
    name = "x" * LONGEST_CATEGORY
    assert classify({"category": name}) == (name, "", "")


@pytest.mark.parametrize(
    ("category", "conversation"),
    [
        ("group_channel:message_send", "group_lakeside_bakery"),
        ("open_channel:enter", "open_harbour_radio"),
        ("bot_message_notification", "group_lakeside_bakery"),
        ("message:report", "group_lakeside_bakery"),  # the message's channel: the report names none
        ("weather:storm", "open_harbour_radio"),
        ("user:block", "mira"),
        ("user:unblock", "mira"),
        ("user:report", "teodor"),  # whom it is about, not who reports
        ("user:mute", "teodor"),
        ("user:push_preference", "teodor"),
        ("alert:user_message_rate_limit_exceeded", "teodor"),
        ("notification:send_batch", ""),
    ],
)
def test_conversation(category, conversation):
    """The conversation is the channel, else the user it is about, else nothing."""
    assert classify(samples.find(category).payload).conversation == conversation


@pytest.mark.parametrize("channel", [None, "lobby", [], {}, {"channel_url": ""}, {"channel_url": 7}, 3.5])
def test_conversation_without_channel(channel):
    """Where there is no channel's URL, the conversation is the sender."""
    data = samples.find("group_channel:message_send").payload | {"channel": channel}
    assert classify(data).conversation == "mira"


@pytest.mark.parametrize("user_id", [None, True, 1.5, [], {}, ""])
def test_conversation_of_nobody(user_id):
    """What is no string and no int is nobody's id."""
    assert classify({"category": "user:mute", "user": {"user_id": user_id}}).conversation == ""


def test_conversation_by_number():
    """A user's id that came as a number is the same conversation as the one that came as a string."""
    numbered = classify({"category": "user:mute", "user": {"user_id": 88}})
    assert (
        numbered.conversation == classify({"category": "user:mute", "user": {"user_id": "88"}}).conversation
    )


def test_long_conversation():
    """A conversation is never longer than 200 characters, and still one of its own."""
    first, second = (
        classify({"category": "weather:storm", "channel": {"channel_url": "x" * 5000 + end}}).conversation
        for end in "ab"
    )
    assert first != second
    assert len(first) <= 200
