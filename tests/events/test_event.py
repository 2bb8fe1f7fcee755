from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime

import pytest

from receiver import samples
from receiver.events import CATEGORIES, Envelope, Event, UnknownEvent, open_event
from receiver.events.parsing import NotJSON

ALL = samples.load_all()
each = pytest.mark.parametrize("sample", ALL, ids=lambda sample: f"{sample.category} {sample.case}")


@each
def test_common_face(sample, envelope_of):
    """Every sample opens as its category's class and shows what every event has."""
    event = open_event(envelope_of(sample.payload))
    known = CATEGORIES.get(sample.category)
    assert type(event) is (known.event if known else UnknownEvent)
    assert event.id == "e-1"
    assert event.category == sample.category
    assert event.app_id == sample.payload.get("app_id", "")
    assert event.received_at == datetime(2025, 8, 11, 9, 10, 2, 500000, UTC)
    assert event.channel.channel_url in ("", event.conversation)
    assert event.members_included == ("members" in sample.payload)
    assert len(event.members) == len(sample.payload.get("members", ()))


@each
def test_raw(sample, envelope_of):
    """`raw` is the whole body, unknown fields too, except a bot's token."""
    event = open_event(envelope_of(sample.payload))
    expected = sample.payload
    expected.get("bot", {}).pop("bot_token", None)
    assert event.raw == expected
    assert event.raw is event.raw


@each
def test_reprs_tell_nothing(sample, caplog, envelope_of):
    """The reprs of an event, its envelope and its parts show no text, no token and no nickname."""
    event = open_event(envelope_of(sample.payload))
    shown = repr(event) + repr(vars(event)["_envelope"])
    assert event.id in repr(event)
    assert event.category in repr(event)
    assert event.conversation in repr(event)
    for name in ("sender", "user", "file", "files", "bot", "channel", "members", "changes", "reaction"):
        shown += repr(getattr(event, name, ""))
    with caplog.at_level(logging.INFO):
        logging.getLogger(__name__).info("%r %s", event, event)
    shown += caplog.text
    for secret in (samples.BOT_TOKEN, "croissants", "bread", "Łukasik", "Teodor 🥐", "files.example", "shop"):
        assert secret not in shown


def test_nothing_is_parsed_early(envelope_of):
    """A body is parsed when it is first looked into, and not before."""
    event = open_event(envelope_of({"category": "user:block"}, body=b"{broken"))
    assert event.id
    assert repr(event)
    with pytest.raises(NotJSON) as caught:
        _ = event.raw
    assert "conversation" not in "".join(traceback.format_exception(caught.value))


def test_body_that_is_no_object(envelope_of):
    """A body that is no object reads as an empty one."""
    event = open_event(envelope_of({"category": "user:block"}, body=b"[1]"))
    assert event.raw == {}
    assert event.occurred_at is None


def test_unknown_category(open_sample):
    """An event of an unknown category has what every event has."""
    event = open_sample("weather:storm")
    assert isinstance(event, UnknownEvent)
    assert event.raw["force"] == 11
    assert event.channel.name == "Harbour radio"


EXACT = datetime(2025, 8, 11, 9, 10, 0, 123000, UTC)
TO_THE_SECOND = EXACT.replace(microsecond=0)


@pytest.mark.parametrize(
    ("category", "case", "at"),
    [
        ("group_channel:message_send", "mesg", EXACT),
        ("group_channel:message_send", "mesg-drifted", TO_THE_SECOND),
        ("group_channel:message_send", "mesg-2016", None),
        ("group_channel:create", "plain", EXACT),
        ("group_channel:create", "seconds", TO_THE_SECOND),
        ("open_channel:remove", "plain", EXACT),
        ("open_channel:enter", "plain", EXACT),
        ("open_channel:exit", "plain", EXACT),
        ("group_channel:changed", "plain", EXACT),
        ("group_channel:invite", "plain", EXACT),
        ("group_channel:join", "plain", EXACT),
        ("group_channel:leave", "plain", EXACT),
        ("group_channel:decline_invite", "plain", None),
        ("group_channel:reaction_add", "plain", EXACT),
        ("group_channel:message_read", "several", EXACT.replace(microsecond=124000)),
        ("group_channel:message_update", "mesg", EXACT.replace(minute=11)),
        ("group_channel:message_update", "mesg-untimed", EXACT),
        ("group_channel:message_delete", "mesg", None),  # when it was sent is not when it was deleted
        ("operators:register_by_operator", "plain", EXACT),
        ("profanity_filter:block", "plain", EXACT),
        ("profanity_filter:moderate", "plain", EXACT),
        ("message:report", "plain", TO_THE_SECOND),
        ("user:block", "plain", None),
        ("bot_message_notification", "plain-2016", EXACT),
    ],
)
def test_occurred_at(open_sample, category, case, at):
    """When it happened is found under each category's key, in seconds and in milliseconds."""
    assert open_sample(category, case).occurred_at == at


@pytest.mark.parametrize(
    ("category", "case", "kind"),
    [
        ("open_channel:message_send", "mesg", "open"),
        ("open_channel:message_send", "admm-2016-members", "open"),
        ("group_channel:message_send", "mesg", "group"),
        ("bot_message_notification", "plain", "group"),
        ("bot_event/group_channel:join", "plain", "group"),
        ("operators:register_by_operator", "plain", "group"),
        ("operators:unregister_by_operator", "plain", "open"),
        ("user:block", "plain", ""),
        ("weather:storm", "plain", ""),
    ],
)
def test_channel_kind(open_sample, category, case, kind):
    """The kind of channel comes from the category, whatever else the body says."""
    assert open_sample(category, case).channel_kind == kind


def test_channel_kind_of_new_bot_events(open_sample):
    """A bot's event of a kind that is not known yet tells its channel's kind like any other."""
    assert open_sample("weather:storm", category="bot_event/group_channel:rename").channel_kind == "group"


def test_time_of_something_else(open_sample):
    """When a message was sent is not when it was reacted to."""
    sent = {"message_id": 7, "created_at": 1_754_903_400_123}
    assert open_sample("group_channel:reaction_add", ts=None, message=sent).occurred_at is None


def test_replay_of():
    """A replayed event names the one that it replays; others name none."""
    envelope = Envelope("e1", "webhook", "user:block", "u", "", 0, b"{}")
    assert Event(envelope).replay_of is None
    assert Event(envelope._replace(replay_of="e0")).replay_of == "e0"
