from __future__ import annotations

from typing import Any

import pytest

from receiver import samples
from receiver.events import classify
from receiver.events.identity import digest

MESSAGES = ["message_send", "message_update", "message_delete"]


def identity(category: str, case: str | None = None, **changes: Any) -> str:
    return classify(samples.find(category, case=case).payload | changes).identity


def payload(category: str, **changes: Any) -> dict[str, Any]:
    return samples.find(category).payload["payload"] | changes


@pytest.mark.parametrize("sample", samples.load_all(), ids=lambda sample: f"{sample.category} {sample.case}")
def test_a_repeat(sample):
    """The same request sent again has the same identity."""
    assert classify(sample.payload) == classify(sample.payload)


@pytest.mark.parametrize("kind", ["open_channel", "group_channel"])
@pytest.mark.parametrize("what", MESSAGES)
def test_message(kind, what):
    """A message is named by application, category, channel and id, whatever else the body says."""
    category = f"{kind}:{what}"
    named = identity(category)
    assert named
    assert identity(category, silent=True, members=[]) == named
    assert identity(category, payload=payload(category, message="other words")) == named
    others = [
        identity(category, app_id="another"),
        identity(category, channel={"channel_url": "another"}),
        identity(category, payload=payload(category, message_id=1)),
        *(identity(f"{kind}:{other}") for other in MESSAGES if other != what),
    ]
    assert named not in others
    assert len(set(others)) == len(others)


@pytest.mark.parametrize("case", ["mesg-2016", "file-2016", "admm-2016"])
def test_message_of_2016(case):
    """A message of 2016 has no identity: two equal bodies may be two messages."""
    assert identity("group_channel:message_send", case) == ""


@pytest.mark.parametrize(
    "message_id", [None, 0, "", "0", True, False, 1.5, [7], {"id": 7}, 10**30, -(10**30)]
)
def test_no_message_id(message_id):
    """What is no id names no message."""
    changed = payload("group_channel:message_send", message_id=message_id)
    assert identity("group_channel:message_send", payload=changed) == ""


def test_id_as_string():
    """An id is the same one as a string and as a number."""
    changed = payload("group_channel:message_send", message_id="7340125518")
    assert identity("group_channel:message_send", payload=changed) == identity("group_channel:message_send")


def test_edits():
    """Two edits of a message are two events, and an edit without a time has no identity."""
    category = "group_channel:message_update"
    later = identity(category, payload=payload(category, updated_at=1_754_903_999_999))
    assert later
    assert later != identity(category)
    assert identity(category, "mesg-untimed") == ""


def test_edit_time_at_top_level():
    """The time of an edit is found at the top level, too."""
    category = "group_channel:message_update"
    untimed = samples.find(category, case="mesg-untimed").payload
    assert classify(untimed | {"updated_at": 1_754_903_460_123}).identity == identity(category)


@pytest.mark.parametrize(
    "changes",
    [
        {"reaction": "heart"},
        {"ts": 1_754_903_400_124},
        {"user": {"user_id": "mira"}},
        {"message": {"message_id": 1}},
    ],
)
def test_reaction(changes):
    """Each user's each reaction to each message at each time is one of its own."""
    assert identity("group_channel:reaction_add", **changes)
    assert identity("group_channel:reaction_add", **changes) != identity("group_channel:reaction_add")
    assert identity("group_channel:reaction_add") != identity("group_channel:reaction_delete")


@pytest.mark.parametrize("missing", ["reaction", "ts", "user", "message"])
def test_reaction_in_part(missing):
    """A reaction of which a part is missing has no identity."""
    assert identity("group_channel:reaction_add", **{missing: None}) == ""


def test_reaction_is_not_forged():
    """Nobody can choose a user id or a reaction that makes theirs look like another one's."""
    one = identity("group_channel:reaction_add", user={"user_id": "a|b"}, reaction="c")
    other = identity("group_channel:reaction_add", user={"user_id": "a"}, reaction="b|c")
    assert one != other


def test_read():
    """A reading is named by its channel, its readers and their times."""
    category = "group_channel:message_read"
    named = {
        identity(category),
        identity(category, "several"),
        identity(category, channel={"channel_url": "another"}),
        identity(category, read_updates=[{"user_id": "teodor", "read_ts": 1_754_903_400_999}]),
        identity(category, read_updates=[{"user_id": "mira", "read_ts": 1_754_903_400_123}]),
    }
    assert len(named) == 5
    assert "" not in named


@pytest.mark.parametrize(
    "changes",
    [
        {"channel": {}},
        {"read_updates": None},
        {"read_updates": []},
        {"read_updates": ["mira"]},
        {"read_updates": [{"user_id": "mira"}]},
        {"read_updates": [{"user_id": "mira", "read_ts": 5}, {"read_ts": 5}]},
    ],
)
def test_read_in_part(changes):
    """A reading of which a part is missing has no identity."""
    assert identity("group_channel:message_read", **changes) == ""


def test_callback():
    """A callback is named by its bot and its message: every bot in a channel gets its own."""
    category = "bot_message_notification"
    bot = samples.find(category).payload["bot"]
    assert identity(category)
    assert identity(category, bot=bot | {"bot_userid": "gif_bot"}) != identity(category)
    assert identity(category, bot=bot | {"bot_token": "rotated"}) == identity(category)
    assert identity(category, bot={}) == ""


@pytest.mark.parametrize("case", ["plain-2016", "members-2016"])
def test_callback_of_2016(case):
    """A callback of 2016 has no identity."""
    assert identity("bot_message_notification", case) == ""


@pytest.mark.parametrize(
    "category",
    [
        "open_channel:create",
        "open_channel:exit",
        "group_channel:changed",
        "group_channel:join",
        "operators:register_by_operator",
        "announcement:send_messages",
        "image_moderation:block",
    ],
)
def test_timed(category):
    """An event with a time of its own, to the millisecond, is named by it and by its whole body."""
    assert identity(category)
    assert identity(category, channel={"channel_url": "another"}) != identity(category)


@pytest.mark.parametrize("time", [1_754_903_400, 1_754_903_400_000, "1754903400123", None, True, 10**25])
def test_timed_to_the_second(time):
    """A time to the second names nothing: a user can join twice in it."""
    assert identity("group_channel:join", joined_at=time) == ""


def test_timed_too_deep():
    """A body that is nested too deeply to be named has no identity."""
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    assert identity("group_channel:join", users=deep) == ""


@pytest.mark.parametrize(
    "category",
    ["user:block", "group_channel:report", "group_channel:freeze_unfreeze", "user:mute", "weather:storm"],
)
def test_nothing_to_name(category):
    """A body that carries no id and no exact time has no identity, nor has an unknown category's."""
    assert identity(category) == ""


def test_short():
    """However long ids are, an identity is short, and still one of its own."""
    category = "group_channel:message_read"
    many = [{"user_id": f"user-{n}", "read_ts": 1_754_903_400_123} for n in range(500)]
    named, other = identity(category, read_updates=many), identity(category, read_updates=many[1:])
    assert len(named) <= 200
    assert named != other


def test_a_name_is_kept_short():
    """Whatever its length and its characters, a name is kept as 16 characters; nothing stays nothing."""
    names = ["m|1", "m|2", "x" * 500, "\ud83d"]
    assert {len(digest(name)) for name in names} == {16}
    assert len(set(map(digest, names))) == 4
    assert digest("") == ""
