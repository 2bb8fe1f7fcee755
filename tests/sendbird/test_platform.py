"""The calls of the Platform API: what they send, and what they make of the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import SendbirdRefused, SendbirdUnavailable
from receiver.sendbird.resources import BotAccount, Channel, Message, User, counts

BOT = {
    "bot": {
        "bot_token": "b0t-t0ken",
        "bot_userid": "helper",
        "bot_nickname": "Helper",
        "bot_profile_url": "p",
    },
    "bot_callback_url": "https://example.com/sendbird/bot",
    "is_privacy_mode": "True",
    "show_member": False,
}
MESSAGE = {
    "message_id": 9_000_000_001,
    "type": "MESG",
    "message": "Hi",
    "data": "",
    "channel_url": "c/1",
    "created_at": 1471420000000,
    "user": {"user_id": "helper", "nickname": "Helper", "profile_url": ""},
}


class TestBots:
    async def test_create(self, sendbird, platform):
        """A bot is created with what is given, and comes back parsed."""
        sendbird.answers(201, BOT)
        bot = await platform.create_bot(
            "helper", nickname="Helper", callback_url="https://example.com/sendbird/bot", show_member=False
        )
        assert (bot.bot_userid, bot.token, bot.is_privacy_mode, bot.show_member) == (
            "helper",
            "b0t-t0ken",
            True,
            False,
        )
        assert bot.raw == BOT
        [request] = sendbird.requests
        assert (request.method, request.path) == ("POST", "/v3/bots")
        assert request.json == {
            "bot_userid": "helper",
            "bot_nickname": "Helper",
            "bot_profile_url": "",
            "bot_callback_url": "https://example.com/sendbird/bot",
            "is_privacy_mode": True,
            "show_member": False,
        }

    async def test_token_is_not_shown(self):
        """A bot's token is not in its repr."""
        assert "b0t-t0ken" not in repr(BotAccount.read(BOT))

    async def test_get(self, sendbird, platform):
        """A bot is looked up by its user id, percent-encoded."""
        sendbird.answers(200, BOT)
        assert (await platform.get_bot("hel/per")).nickname == "Helper"
        assert sendbird.requests[0].path == "/v3/bots/hel%2Fper"

    async def test_list(self, sendbird, platform):
        """All pages of a list are fetched, each by the token of the page before."""
        sendbird.answers(200, {"bots": [BOT], "next": "t&2"})
        sendbird.answers(200, {"bots": [BOT, "odd", BOT], "next": ""})
        assert [bot.bot_userid async for bot in platform.list_bots()] == ["helper"] * 3
        assert [request.query for request in sendbird.requests] == [
            {"limit": "100", "token": ""},
            {"limit": "100", "token": "t&2"},
        ]

    async def test_page_without_end(self, sendbird, platform):
        """A page that names itself as the next one doesn't make the client turn for ever."""
        for _ in range(3):
            sendbird.answers(200, {"bots": [], "next": "again"})
        with pytest.raises(SendbirdRefused, match="is itself"):
            [bot async for bot in platform.list_bots()]
        assert len(sendbird.requests) == 2

    async def test_update(self, sendbird, platform):
        """An update sends only what is given."""
        await platform.update_bot("helper", is_privacy_mode=False)
        [request] = sendbird.requests
        assert (request.method, request.path) == ("PUT", "/v3/bots/helper")
        assert request.json == {"is_privacy_mode": False}

    async def test_join(self, sendbird, platform):
        """A bot joins channels, even if the first answer is lost."""
        sendbird.resets()
        sendbird.answers(200, {"channels": [{"channel_url": "c/1", "created_at": 1471420000}]})
        [channel] = await platform.join_channels("helper", ["c/1"])
        assert channel.channel_url == "c/1"
        assert sendbird.requests[1].path == "/v3/bots/helper/channels"
        assert sendbird.requests[1].json == {"channel_urls": ["c/1"]}

    async def test_leave_and_delete(self, sendbird, platform):
        """Leaving one channel, leaving all and deleting are three different calls."""
        await platform.leave_channel("helper", "c/1")
        await platform.leave_all_channels("helper")
        await platform.delete_bot("helper")
        assert [(request.method, request.path) for request in sendbird.requests] == [
            ("DELETE", "/v3/bots/helper/channels/c%2F1"),
            ("DELETE", "/v3/bots/helper/channels"),
            ("DELETE", "/v3/bots/helper"),
        ]

    async def test_leave_nothing(self, sendbird, platform):
        """Leaving a channel without a URL doesn't leave all channels."""
        with pytest.raises(SendbirdRefused, match="can't be part of the path '/bots/helper/channels/'"):
            await platform.leave_channel("helper", "")
        assert sendbird.requests == []


class TestSend:
    async def test_as_bot(self, sendbird, platform):
        """A bot's message is sent with its options, and comes back parsed."""
        sendbird.answers(200, {"message": MESSAGE})
        message = await platform.send_bot_message(
            "helper",
            "c/1",
            "Hi",
            custom_type="greeting",
            mentioned=["ann"],
            mark_as_read=False,
            dedup_id="d1",
        )
        assert (message.message_id, message.user.user_id, message.channel_url) == (
            9_000_000_001,
            "helper",
            "c/1",
        )
        [request] = sendbird.requests
        assert request.path == "/v3/bots/helper/send"
        assert request.json == {
            "message": "Hi",
            "data": "",
            "channel_url": "c/1",
            "custom_type": "greeting",
            "mentioned": ["ann"],
            "mark_as_read": False,
            "dedup_id": "d1",
        }

    async def test_as_user(self, sendbird, platform):
        """A user's message goes to the channel; its answer is the message itself."""
        sendbird.answers(200, MESSAGE)
        message = await platform.send_message("c/1", "Hi", user_id="ann", mentioned=["bob"])
        assert message.message == "Hi"
        [request] = sendbird.requests
        assert request.path == "/v3/group_channels/c%2F1/messages"
        assert request.json == {
            "message_type": "MESG",
            "user_id": "ann",
            "message": "Hi",
            "data": "",
            "mentioned_user_ids": ["bob"],
        }

    async def test_as_admin(self, sendbird, platform):
        """A message without a user is an admin message."""
        await platform.send_message("c/1", "Hi", is_silent=True)
        assert sendbird.requests[0].json == {
            "message_type": "ADMM",
            "message": "Hi",
            "data": "",
            "is_silent": True,
        }

    async def test_lost_without_dedup_id(self, sendbird, platform):
        """A message whose answer was lost is not sent again."""
        sendbird.resets()
        with pytest.raises(SendbirdUnavailable, match="may have been done"):
            await platform.send_bot_message("helper", "c/1", "Hi")
        assert len(sendbird.requests) == 1

    async def test_lost_with_dedup_id(self, sendbird, platform):
        """A message with a dedup_id whose answer was lost is sent again, with the same id."""
        sendbird.resets()
        sendbird.answers(200, {"message": MESSAGE})
        await platform.send_bot_message("helper", "c/1", "Hi", dedup_id="d1")
        assert [request.json["dedup_id"] for request in sendbird.requests] == ["d1", "d1"]

    @pytest.mark.parametrize("lost", [True, False])
    async def test_stands_already(self, sendbird, platform, lost):
        """A message whose dedup_id is taken was sent before, and that is no error."""
        if lost:
            sendbird.resets()
        sendbird.refuses(400202, "Violates unique constraint")
        message = await platform.send_bot_message("helper", "c/1", "Hi", dedup_id="d1")
        assert (message.message_id, message.message, message.channel_url, message.type) == (
            0,
            "Hi",
            "c/1",
            "MESG",
        )

    async def test_other_refusals(self, sendbird, platform):
        """Any other refusal of a message with a dedup_id is an error, and 400202 without one, too."""
        sendbird.refuses(400201)
        with pytest.raises(SendbirdRefused):
            await platform.send_bot_message("helper", "c/1", "Hi", dedup_id="d1")
        sendbird.refuses(400202)
        with pytest.raises(SendbirdRefused):
            await platform.send_bot_message("helper", "c/1", "Hi")


class TestUsers:
    async def test_get(self, sendbird, platform):
        """A user comes back parsed; what Sendbird doesn't tell is None."""
        sendbird.answers(200, {"user_id": "ann", "is_online": False, "last_seen_at": 1471420000000})
        user = await platform.get_user("ann")
        assert (user.user_id, user.is_online, user.is_active, user.last_seen_at) == (
            "ann",
            False,
            None,
            1471420000000,
        )

    async def test_list(self, sendbird, platform):
        """The filters of the list of users are passed on, with every page."""
        sendbird.answers(200, {"users": [{"user_id": "ann"}], "next": "2"})
        sendbird.answers(200, {"users": [{"user_id": "bob"}], "next": None})
        users = [user.user_id async for user in platform.list_users(active_mode="all", show_bot=False)]
        assert users == ["ann", "bob"]
        assert [request.query for request in sendbird.requests] == [
            {"active_mode": "all", "show_bot": "false", "limit": "100", "token": token} for token in ("", "2")
        ]

    @pytest.mark.parametrize("answer", [{"metadata": {"tier": "gold"}}, {"tier": "gold"}])
    async def test_metadata(self, sendbird, platform, answer):
        """Metadata is found whether or not the answer nests it."""
        sendbird.answers(200, answer)
        assert await platform.get_metadata("ann") == {"tier": "gold"}
        assert sendbird.requests[0].path == "/v3/users/ann/metadata"

    async def test_update(self, sendbird, platform):
        """An update sends only what is given."""
        sendbird.answers(200, {"user_id": "ann", "nickname": ""})
        assert (await platform.update_user("ann", nickname="")).user_id == "ann"
        assert (sendbird.requests[0].method, sendbird.requests[0].json) == ("PUT", {"nickname": ""})


class TestChannels:
    async def test_get(self, sendbird, platform):
        """A channel comes back with its members, if they are asked for."""
        members = [{"user_id": "ann", "is_online": True, "state": "joined"}]
        sendbird.answers(200, {"channel_url": "c/1", "name": "One", "member_count": 1, "members": members})
        channel = await platform.get_channel("c/1", show_member=True)
        assert (channel.name, channel.members[0].user_id, channel.members[0].state) == (
            "One",
            "ann",
            "joined",
        )
        assert sendbird.requests[0].path == "/v3/group_channels/c%2F1"
        assert sendbird.requests[0].query["show_member"] == "true"

    async def test_list(self, sendbird, platform):
        """All pages of channels are fetched."""
        sendbird.answers(200, {"channels": [{"channel_url": "c/1"}], "next": "2"})
        sendbird.answers(200, {"channels": [{"channel_url": "c/2"}]})
        assert [channel.channel_url async for channel in platform.list_channels()] == ["c/1", "c/2"]
        assert sendbird.requests[0].path == "/v3/group_channels"

    async def test_members(self, sendbird, platform):
        """All pages of members are fetched."""
        sendbird.answers(200, {"members": [{"user_id": "ann"}], "next": "2"})
        sendbird.answers(200, {"members": [{"user_id": "bob"}]})
        assert [member.user_id async for member in platform.list_members("c/1")] == ["ann", "bob"]

    async def test_unread(self, sendbird, platform):
        """Unread counts are asked for in one call: ids encoded, the commas between them not."""
        sendbird.answers(200, {"unread": {"a,b": 3, "ü": "4", "odd": None}})
        assert await platform.unread_counts("c/1", ["a,b", "ü"]) == {"a,b": 3, "ü": 4}
        assert sendbird.requests[0].target == (
            "/v3/group_channels/c%2F1/messages/unread_count?user_ids=a%2Cb,%C3%BC"
        )

    async def test_unread_of_many(self, sendbird, platform):
        """Many users are asked about in several calls, and nobody in none."""
        sendbird.answers(200, {"unread": {"u0": 1}})
        sendbird.answers(200, {"unread": {"u50": 2}})
        assert await platform.unread_counts("c", (f"u{n}" for n in range(51))) == {"u0": 1, "u50": 2}
        assert sendbird.requests[1].query == {"user_ids": "u50"}
        assert await platform.unread_counts("c", []) == {}
        assert len(sendbird.requests) == 2

    async def test_mark_as_read(self, sendbird, platform):
        """A channel is marked as read for a user."""
        await platform.mark_as_read("c/1", "ann")
        [request] = sendbird.requests
        assert (request.method, request.path, request.json) == (
            "PUT",
            "/v3/group_channels/c%2F1/messages/mark_as_read",
            {"user_id": "ann"},
        )

    async def test_invite(self, sendbird, platform):
        """Users are invited, and the channel comes back."""
        sendbird.answers(200, {"channel_url": "c/1", "members": [{"user_id": "ann"}]})
        assert (await platform.invite("c/1", ["ann"])).members[0].user_id == "ann"
        assert sendbird.requests[0].json == {"user_ids": ["ann"]}


FIELDS = ["user_id", "is_online", "last_seen_at", "metadata", "members", "message_id", "user", "bot", "data"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("raw", "flag"),
    [
        (True, True),
        ("True", True),
        (1, True),
        (False, False),
        ("false", False),
        (0, False),
        ("?", None),
        ([], None),
    ],
)
def test_flags(raw, flag):
    """A flag is read from a boolean, a string or a number, since Sendbird sends all three."""
    assert User.read({"is_online": raw}).is_online is flag


@pytest.mark.parametrize("kind", [User, Channel, Message, BotAccount])
@given(raw=ANYTHING)
def test_any_resource(kind, raw):
    """No answer, however odd, breaks its reading."""
    assert isinstance(kind.read(raw), kind)
    assert all(isinstance(value, int) for value in counts(raw).values())
