"""Channels, users, moderation and notices: what each category's event shows."""

from __future__ import annotations

import pytest


def ids(users) -> list[str]:
    return [user.user_id for user in users]


def test_created(open_sample):
    """A new channel shows who made it or runs it."""
    assert ids(open_sample("open_channel:create").operators) == ["mira"]
    assert open_sample("group_channel:create").inviter.user_id == "mira"
    assert open_sample("open_channel:create").inviter is None
    assert len(open_sample("group_channel:create", "seconds").members) == 3


def test_changed(open_sample):
    """A changed channel shows what was changed."""
    (change,) = open_sample("group_channel:changed").changes
    assert (change.key, change.old, change.new) == ("name", "Bakery", "Lakeside bakery")


@pytest.mark.parametrize(("freeze", "frozen"), [(True, True), ("false", False), (0, False)])
def test_frozen(open_sample, freeze, frozen):
    """Whether a channel is frozen is told where the channel says so, and only there."""
    category = "group_channel:freeze_unfreeze"
    assert open_sample(category).channel.is_frozen is None
    assert open_sample(category, channel={"freeze": freeze}).channel.is_frozen is frozen


@pytest.mark.parametrize("what", ["enter", "exit"])
def test_participants(open_sample, what):
    """Entering and leaving an open channel says who."""
    assert open_sample(f"open_channel:{what}").user.user_id == "teodor"


def test_invited(open_sample):
    """An invitation says by whom and of whom."""
    event = open_sample("group_channel:invite")
    assert event.inviter.user_id == "mira"
    assert ids(event.invitees) == ["teodor", "noor-88"]


@pytest.mark.parametrize(
    ("what", "who"), [("join", "teodor"), ("leave", "teodor"), ("decline_invite", "noor-88")]
)
def test_membership(open_sample, what, who):
    """Joining, leaving and declining say who."""
    assert ids(open_sample(f"group_channel:{what}").users) == [who]


@pytest.mark.parametrize("what", ["register", "unregister"])
def test_operators(open_sample, what):
    """Operators' events say who is one now, or is no longer, and whose doing it is."""
    event = open_sample(f"operators:{what}_by_operator")
    assert event.operators[0].user_id == "teodor"
    assert event.requester.user_id == "mira"


@pytest.mark.parametrize("what", ["block", "unblock"])
def test_block(open_sample, what):
    """Blocking and unblocking use different keys for the same two users."""
    event = open_sample(f"user:{what}")
    assert (event.blocker.user_id, event.blocked.user_id) == ("mira", "teodor")


@pytest.mark.parametrize(
    "category",
    ["user:mute", "user:ban", "user:push_preference", "alert:user_message_rate_limit_exceeded"],
)
def test_user(open_sample, category):
    """The user is found as an object and as a bare id."""
    assert open_sample(category).user.user_id == "teodor"


@pytest.mark.parametrize("category", ["user:mute", "user:block", "group_channel:report"])
def test_nobody(open_sample, category):
    """Where users are missing, there are none."""
    keys = ("user", "blocker", "blockee", "reporting_user", "offending_user")
    event = open_sample(category, **dict.fromkeys(keys))
    for name in ("user", "blocker", "blocked", "reporter", "offender"):
        assert getattr(event, name, None) is None


def test_reported_message(open_sample):
    """A reported message shows itself, its channel, who reports whom, and why."""
    report = open_sample("message:report")
    assert (report.reporter.user_id, report.offender.user_id) == ("noor-88", "teodor")
    assert (report.reason, report.description) == ("suspicious", "")
    assert report.message_id == 7340125518
    assert report.text.startswith("Twelve")
    assert report.channel.channel_url == "group_lakeside_bakery"


@pytest.mark.parametrize("category", ["open_channel:report", "user:report"])
def test_report(open_sample, category):
    """A report says why, in Sendbird's word and in the user's."""
    report = open_sample(category)
    assert report.reason in ("spam", "harassing")
    assert len(report.description) > 20


@pytest.mark.parametrize(
    ("action", "text", "original", "penalty"),
    [
        ("replace", "What a **** oven! 🔥", "What a darn oven! 🔥", ""),
        ("block", "Darn, darn!", "", ""),
        ("moderate", "", "", "kick"),
        ("detect", "Twelve croissants for Søren, please 🥐😋 / thanks", "", ""),
    ],
)
def test_profanity(open_sample, action, text, original, penalty):
    """The profanity filter's events say what it did, to which words, of whom."""
    event = open_sample(f"profanity_filter:{action}")
    assert (event.action, event.text, event.original_text, event.penalty) == (action, text, original, penalty)
    assert event.sender.user_id == "teodor"
    assert event.message_id == (7340125518 if action in ("replace", "detect") else None)


def test_image(open_sample):
    """A message that image moderation blocked shows its text."""
    assert open_sample("image_moderation:block").text.startswith("Look")


def test_moderation_extension(open_sample):
    """Of a moderation extension's event, what is known is whose message it was and where."""
    event = open_sample("message:moderation_extension_triggered")
    assert (event.sender.user_id, event.channel.channel_url) == ("teodor", "group_lakeside_bakery")


def test_announcement(open_sample):
    """An announcement's events say which, and what was sent in whose name."""
    created, sent = (open_sample(f"announcement:{what}") for what in ("create_channels", "send_messages"))
    for event in (created, sent):
        assert (event.announcement_id, event.announcement_group) == ("midsummer-bread", "seasons")
    assert sent.sender.user_id == "mira"
    assert sent.message_id == 7340125527
    assert sent.text == "Midsommarbröd is back! 🌾"
