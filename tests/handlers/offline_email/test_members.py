"""Who gets a mail about a message, and why others don't."""

from __future__ import annotations

import pytest

from handlers.offline_email.members import member_in, sort_out
from receiver import MessageSent, samples
from receiver.testing import make_event

ADA = {"user_id": "ada", "is_online": False, "state": "joined", "is_active": True, "push_enabled": True}


def message(**options):
    return make_event(MessageSent, **{"sender": "bo", "mentioned_users": [], **options})


def reasons(member, **options):
    """Return who gets a mail about a message, and why nobody else does."""
    return sort_out(message(**options), [ADA | member])


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"state": ""},
        {"is_online": "false"},
        {"push_trigger_option": "default"},
        {"push_trigger_option": "all"},
        {"push_trigger_option": True},
        {"push_trigger_option": "a new one"},
        {"is_hidden": 0},
        {"do_not_disturb": False},
        {"is_bot": False},
    ],
)
def test_reader(member):
    """A member who is offline and has joined gets a mail."""
    assert reasons(member) == (["ada"], {})


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ({"user_id": "bo"}, "sent it"),
        ({"is_bot": True}, "is a bot"),
        ({"is_bot": "true"}, "is a bot"),
        ({"is_online": True}, "is online"),
        ({"is_online": "true"}, "is online"),
        ({"state": "invited"}, "has not joined"),
        ({"is_active": False}, "is deactivated"),
        ({"is_blocking_sender": True}, "blocks the sender"),
        ({"is_blocked_by_sender": True}, "is blocked by the sender"),
        ({"is_hidden": 1}, "hides the channel"),
        ({"is_hidden": 2}, "hides the channel"),
        ({"push_enabled": False}, "has push off"),
        ({"push_trigger_option": "off"}, "has push off"),
        ({"push_trigger_option": False}, "has push off"),
        ({"push_trigger_option": "mention_only"}, "was not mentioned"),
        ({"do_not_disturb": True}, "is not to be disturbed"),
        ({"do_not_disturb": "true"}, "is not to be disturbed"),
    ],
)
def test_no_reader(member, reason):
    """Each of these gets no mail, and it is known why."""
    assert reasons(member) == ([], {reason: 1})


@pytest.mark.parametrize(
    "said",
    [{"mentioned_users": ["cy", "ada"]}, {"mention_type": "channel"}],
)
def test_mentioned(said):
    """Who wants mentions only gets a mail when they, or all, are mentioned."""
    assert reasons({"push_trigger_option": "mention_only"}, **said) == (["ada"], {})


@pytest.mark.parametrize(
    "preference", [{"push_enabled": False}, {"push_trigger_option": "off"}, {"do_not_disturb": True}]
)
def test_push_not_respected(preference):
    """With OFFLINE_EMAIL_RESPECT_PUSH=false preferences for push don't count."""
    assert sort_out(message(), [ADA | preference], respect_push=False) == (["ada"], {})


@pytest.mark.parametrize("state", [{"is_online": True}, {"is_blocking_sender": True}, {"state": "invited"}])
def test_the_rest_is_respected_anyhow(state):
    """Everything else counts even then."""
    assert sort_out(message(), [ADA | state], respect_push=False)[0] == []


def test_unknown_push():
    """Where push isn't spoken of, as in the API's list of members, it counts as on."""
    assert sort_out(message(), [{"user_id": "ada"}]) == (["ada"], {})


def test_silent():
    """A silent message is for nobody."""
    assert sort_out(message(silent=True), [ADA]) == ([], {})


def test_admin_message():
    """An admin message, which has no sender, is for all who are offline."""
    admm = make_event(MessageSent, case="admm")
    assert sort_out(admm, [ADA, ADA | {"user_id": "bo"}]) == (["ada", "bo"], {})


@pytest.mark.parametrize("odd", [None, 3, "ada", {}, {"user_id": None}, []])
def test_odd_members(odd):
    """What is no member is passed over; a member who is listed twice counts once."""
    assert sort_out(message(), [odd, ADA, ADA]) == (["ada"], {})


@pytest.mark.parametrize(
    ("case", "readers"),
    [
        ("mesg-members", ["teodor"]),
        ("file-members", ["teodor"]),
        ("mesg-2016", ["teodor"]),
        ("admm-2016", ["teodor"]),
    ],
)
def test_samples(case, readers):
    """Of what Sendbird really sends, in 2016 and today, those who are offline are found."""
    event = make_event("group_channel:message_send", case=case)
    sent = samples.find("group_channel:message_send", case=case).payload["members"]
    assert sort_out(event, sent)[0] == readers


def test_many_members():
    """Ten thousand members are sorted out, each once."""
    many = [ADA | {"user_id": f"u{number}", "is_online": number % 2 == 0} for number in range(10_000)]
    readers, others = sort_out(message(), many)
    assert (len(set(readers)), others) == (5000, {"is online": 5000})


def test_member_in():
    """What is known of a member is what the latest message says."""
    earlier = message(members=[{"user_id": "ada", "nickname": "A"}])
    later = message(members=[{"user_id": "ada", "nickname": "Ada"}])
    silent_on_it = message(members=["cy"])
    assert member_in([earlier, later, silent_on_it], "ada").nickname == "Ada"
    assert member_in([silent_on_it], "ada") is None
    assert member_in([], "ada") is None
