from __future__ import annotations

from datetime import UTC, datetime

import pytest

from receiver import samples
from receiver.events import BotIdentity, User

MESSAGE = "bot_message_notification"


@pytest.mark.parametrize("case", ["plain", "plain-2016"])
def test_both_shapes(open_sample, case):
    """A callback reads the same in both shapes; only today's has an id."""
    event = open_sample(MESSAGE, case)
    assert event.bot.userid == "helper_bot"
    assert event.bot.nickname == "Helper 🤖"
    assert event.sender.user_id == "mira"
    assert event.channel.channel_url == event.conversation == "group_lakeside_bakery"
    assert event.channel.cover_url.endswith("bakery.png")
    assert "🔥/🧊" in event.text or "🍞" in event.text
    assert (event.data, event.files, event.mentioned, event.members) == ("", (), (), ())
    assert event.from_bot is False
    assert event.message_id == (None if case.endswith("2016") else 7340125579)


def test_token_is_nowhere(open_sample):
    """The bot's token is in no attribute of the event, and not in `raw`."""
    event = open_sample(MESSAGE)
    for name in dir(event):
        if not name.startswith("_"):
            assert samples.BOT_TOKEN not in str(getattr(event, name))
    assert "bot_token" not in event.raw["bot"]


def test_token_of_unknown_category(open_sample):
    """A bot's token is left out of events of unknown categories, too."""
    event = open_sample("weather:storm", bot={"bot_token": "s3cret", "bot_userid": "b"})
    assert event.raw["bot"] == {"bot_userid": "b"}


@pytest.mark.parametrize("case", ["members", "members-2016"])
def test_members(open_sample, case):
    """Members' flags are read as booleans and as strings."""
    members = open_sample(MESSAGE, case).members
    assert members[0].is_online is True
    assert members[1].is_online is False
    assert members[1].unread_message_count in (3, 4)
    assert members[0].push_enabled is True


def test_mention(open_sample):
    """Mentions are ids, even where users are sent."""
    assert open_sample(MESSAGE, "mention").mentioned == ("helper_bot",)
    assert open_sample(MESSAGE, mentioned=[{"user_id": "a"}, "b", 3, None]).mentioned == ("a", "b", "3")


def test_command(open_sample):
    """A command is a message like any other."""
    assert open_sample(MESSAGE, "command").text == "/help"


def test_files(open_sample):
    """Files come as objects or as bare addresses."""
    (file,) = open_sample(MESSAGE, "file").files
    assert (file.name, file.content_type, file.size) == ("dough.jpg", "image/jpeg", 90210)
    bare = open_sample(MESSAGE, message={"files": ["https://files.example/x", {}, None]})
    assert [file.url for file in bare.files] == ["https://files.example/x"]


def test_sent_at(open_sample):
    """The time of sending is `ts`, else the message's."""
    assert open_sample(MESSAGE, "plain-2016").sent_at == datetime(2025, 8, 11, 9, 10, 0, 123000, UTC)
    later = open_sample(MESSAGE, ts=None).sent_at
    assert later == datetime(2025, 8, 11, 9, 10, 0, 184000, UTC)
    assert open_sample(MESSAGE, "plain-2016", ts="soon").sent_at is None


def test_nothing_sent(open_sample):
    """A callback that names nobody has a sender and a bot without an id."""
    event = open_sample(MESSAGE, sender=None, bot=None, message=None)
    assert event.sender == User("")
    assert event.bot == BotIdentity("")
    assert (event.text, event.message_id) == ("", None)


@pytest.mark.parametrize("what", ["join", "leave"])
def test_bot_event(open_sample, what):
    """A bot's other events say which bot and which channel."""
    event = open_sample(f"bot_event/group_channel:{what}")
    assert event.bot.userid == "helper_bot"
    assert event.channel.name == "Lakeside bakery"
    assert event.channel_kind == "group"
