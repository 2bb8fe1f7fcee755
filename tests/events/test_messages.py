from __future__ import annotations

from datetime import UTC, datetime

import pytest

from receiver.events import Change, Member, ReactionAdded, User

SENT = "group_channel:message_send"


@pytest.mark.parametrize("category", [SENT, "open_channel:message_send"])
@pytest.mark.parametrize("case", ["mesg", "mesg-2016"])
def test_text(open_sample, category, case):
    """A text message reads the same in both shapes, in open and in group channels."""
    message = open_sample(category, case)
    assert message.type == "MESG"
    assert "🍞" in message.text or "🥐" in message.text
    assert message.sender == User("mira", "Mira Łukasik", message.sender.profile_url, message.sender.metadata)
    assert (message.is_file, message.is_admin) == (False, False)
    assert message.file is None
    assert message.from_bot is False


def test_shape_of_today(open_sample):
    """Today's shape has an id beyond 2^32, the application's data, and what it was sent with."""
    message = open_sample(SENT, "mesg")
    assert message.message_id == 7340125518
    assert message.data == '{"order": 4471}'
    assert message.custom_type == "order"
    assert message.sdk == "JavaScript"
    assert message.silent is False
    assert message.mention_type == "users"
    assert message.mentioned_users == ()
    assert message.parent_message_id is None
    assert message.members_included is False
    assert message.sender.metadata == {"team": "bakery"}


def test_shape_of_2016(open_sample):
    """The shape of 2016 has no id and no time, and languages without translations."""
    message = open_sample(SENT, "mesg-2016")
    assert message.message_id is None
    assert message.occurred_at is None
    assert message.translations == {"en": "", "de": ""}
    assert message.members[1] == Member(
        user_id="teodor",
        nickname="Teodor",
        profile_url="https://pictures.example/faces/teodor.png",
        push_enabled=True,
        unread_message_count=4,
    )


@pytest.mark.parametrize("case", ["file", "file-2016"])
def test_file(open_sample, case):
    """A file message has a file and no text."""
    message = open_sample(SENT, case)
    assert message.is_file
    assert message.text == ""
    assert message.file.url.startswith("https://files.example/")
    assert (message.file.name, message.file.content_type, message.file.size) in [
        ("grüße.png", "image/png", 6442450944),
        ("oven-manual.pdf", "application/pdf", 482133),
    ]


def test_file_without_address(open_sample):
    """A file message whose file has no address has no file."""
    assert open_sample(SENT, "file", payload={"filename": "x.png"}).file is None


def test_file_in_an_object(open_sample):
    """A file is found in an object of its own, as the Platform API shows messages."""
    nested = {"file": {"url": "https://files.example/a", "name": "a.gif", "type": "image/gif", "size": 3}}
    file = open_sample(SENT, "file", payload=nested).file
    assert (file.name, file.content_type, file.size) == ("a.gif", "image/gif", 3)


@pytest.mark.parametrize("case", ["admm", "admm-2016", "admm-2016-members"])
def test_admin_message(open_sample, case):
    """An admin message has a text and no sender, and may have members in an open channel."""
    message = open_sample("open_channel:message_send", case)
    assert message.is_admin
    assert message.text
    assert message.sender is None
    assert message.channel_kind == "open"
    assert len(message.members) == (2 if case.endswith("members") else 0)


def test_members(open_sample):
    """Members come with all that is known of them, the sender among them."""
    mira, teodor, noor = open_sample(SENT, "mesg-members").members
    assert (mira.user_id, mira.is_online, mira.has_joined) == ("mira", True, True)
    assert mira.metadata == {"team": "bakery"}
    assert (teodor.channel_unread_message_count, teodor.total_unread_message_count) == (4, 6)
    assert teodor.channel_mention_count == 1
    assert (noor.state, noor.has_joined, noor.is_hidden, noor.do_not_disturb) == (
        "invited",
        False,
        True,
        True,
    )
    assert noor.is_active


def test_members_without_ids(open_sample):
    """A member without an id is none, and so is what is no member."""
    assert open_sample(SENT, "mesg", members=[{"nickname": "x"}, None, "mira"]).members == ()


def test_drift(open_sample):
    """Types that drifted mean what they meant."""
    message = open_sample(SENT, "mesg-drifted")
    assert message.message_id == 7340125561
    assert message.silent is True
    assert message.data == '{"order":4471}'
    assert message.channel.data == '{"shop":12,"open":true}'
    teodor, noor = message.members
    assert (teodor.is_online, teodor.is_active, teodor.push_trigger_option) == (False, True, "off")
    assert (noor.is_online, noor.unread_message_count, noor.push_trigger_option) == (True, 7, "all")


def test_mentions(open_sample):
    """Mentioned users are found at the top level and in the payload, as objects and as ids."""
    assert [user.user_id for user in open_sample(SENT, "mesg-members").mentioned_users] == ["teodor"]
    nested = open_sample(SENT, "mesg", payload={"mentioned_users": ["noor-88", {"user_id": 7}, {}]})
    assert [user.user_id for user in nested.mentioned_users] == ["noor-88", "7"]


def test_thread(open_sample):
    """The message replied to is found in the payload and at the top level; 0 is none."""
    assert open_sample(SENT, "mesg-thread").parent_message_id == 7340125518
    assert open_sample(SENT, "mesg", parent_message_id="12").parent_message_id == 12
    assert open_sample(SENT, "mesg-own-channel-url").parent_message_id is None


def test_channel(open_sample):
    """A channel shows its name, its own type, and what kind of group it is."""
    channel = open_sample(SENT, "mesg-supergroup").channel
    assert (channel.name, channel.custom_type, channel.is_super) == ("Lakeside bakery", "orders", True)
    assert channel.is_public is False
    assert channel.is_frozen is None


def test_from_bot(open_sample):
    """The runtime can say that a bot sent a message."""
    message, other = open_sample(SENT), open_sample(SENT)
    message.bots = {message.sender.user_id}
    assert (message.from_bot, other.from_bot) == (True, False)


def test_update(open_sample):
    """An edited message shows what it says now and what was changed."""
    message = open_sample("group_channel:message_update")
    assert message.text.startswith("Thirteen")
    (change,) = message.changes
    assert (change.key, change.old[:6], change.new[:8]) == ("message", "Twelve", "Thirteen")
    assert open_sample("group_channel:message_update", "file").changes == ()
    assert open_sample("group_channel:message_update", changes=[1, {"old": 2}]).changes == ()
    assert Change("message", "secret", "secret").__repr__() == "Change(key='message')"


def test_delete(open_sample):
    """A deleted message is named by its id, and its time of deletion is read where it was sent."""
    message = open_sample("group_channel:message_delete", deleted_at=1_754_903_500)
    assert message.message_id == 7340125518
    assert message.occurred_at == datetime.fromtimestamp(1_754_903_500, UTC)


def test_read(open_sample):
    """A reading says who has read, until when, and what they have still to read."""
    teodor, noor = open_sample("group_channel:message_read", "several").updates
    assert (teodor.user_id, noor.user_id) == ("teodor", "noor-88")
    assert teodor.read_at < noor.read_at
    assert (noor.channel_unread_message_count, noor.total_unread_message_count) == (0, 2)
    broken = open_sample("group_channel:message_read", read_updates=[{"user_id": "mira"}, {}, None])
    assert [update.read_at for update in broken.updates] == [None]
    assert broken.occurred_at is None


@pytest.mark.parametrize("what", ["add", "delete"])
def test_reaction(open_sample, what):
    """A reaction says which, by whom, to which message and when."""
    event = open_sample(f"group_channel:reaction_{what}")
    assert isinstance(event, ReactionAdded) == (what == "add")
    assert (event.reaction.key, event.reaction.message_id) == ("thumbs_up👍", 7340125518)
    assert event.reaction.user == event.user
    assert event.user.user_id == "teodor"
    assert event.reaction.at == event.occurred_at


def test_sent_at(open_sample):
    """When the message was sent stands in its payload; it stays so when the message changes."""
    message = open_sample(SENT)
    assert message.sent_at == message.occurred_at
    message.raw["payload"]["created_at"] = 0
    assert message.sent_at is None


def test_forgetting(open_sample):
    """An event that has forgotten its body reads it again when it is looked into."""
    message = open_sample(SENT)
    text, raw = message.text, message.raw
    message.forget()
    assert message.raw is not raw
    assert message.text == text
