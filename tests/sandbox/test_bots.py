"""Bots: their life, their channels, what they say and what they are told."""

from __future__ import annotations

import pytest

from receiver import signature

TEAM = "/group_channels/sandbox_team"


async def test_life_of_a_bot(box):
    """A bot can be created, listed, seen, changed by PUT or POST, and deleted; its token stays the same."""
    made = await box.add_bot("http://bot.test/", is_privacy_mode=True, show_member=True)
    token = made["bot"]["bot_token"]
    assert len(token) == 40
    assert (made["bot"]["bot_userid"], made["bot_callback_url"]) == ("helper", "http://bot.test/")
    assert (made["is_privacy_mode"], made["show_member"], made["enable_mark_as_read"]) == (True, True, True)
    assert (await box.call("GET", "/bots"))["bots"] == [made]
    assert await box.call("GET", "/bots/helper") == made
    await box.call("PUT", "/bots/helper", {"bot_nickname": "Helpful"})
    changed = await box.call("POST", "/bots/helper", {"is_privacy_mode": False})
    assert (changed["bot"]["bot_nickname"], changed["is_privacy_mode"]) == ("Helpful", False)
    assert changed["bot"]["bot_token"] == token
    assert await box.call("DELETE", "/bots/helper") == {}
    assert await box.refused("GET", "/bots/helper") == 400201
    assert await box.refused("GET", "/users/helper") == 400201
    assert (await box.call("GET", TEAM))["member_count"] == 3


BOT = {
    "bot_userid": "b",
    "bot_nickname": "B",
    "bot_profile_url": "",
    "bot_callback_url": "http://bot.test/",
    "is_privacy_mode": True,
}


@pytest.mark.parametrize("name", BOT)
async def test_missing_fields(box, name):
    """Every field that Sendbird requires is required."""
    body = {key: value for key, value in BOT.items() if key != name}
    assert await box.refused("POST", "/bots", body) == 400105


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"bot_userid": "ada"}, 400202),
        ({"bot_callback_url": "bot.test"}, 400111),
        ({"bot_callback_url": "javascript:alert(1)"}, 400111),
        ({"is_privacy_mode": "true"}, 400104),
    ],
)
async def test_refused_bots(box, change, code):
    """Taken ids, URLs that are none and wrong types are refused."""
    assert await box.refused("POST", "/bots", BOT | change) == code


async def test_channels(box):
    """A bot joins several group channels, leaves one, leaves all; open channels it can't join."""
    await box.call("POST", "/bots", BOT)
    await box.call("POST", "/group_channels", {"channel_url": "pair", "user_ids": ["ada"]})
    joined = await box.call("POST", "/bots/b/channels", {"channel_urls": ["sandbox_team", "pair"]})
    assert [channel["channel_url"] for channel in joined["channels"]] == ["sandbox_team", "pair"]
    await box.call("DELETE", "/bots/b/channels/pair")
    assert (await box.call("GET", "/group_channels/pair/members/b"))["is_member"] is False
    assert (await box.call("GET", f"{TEAM}/members/b"))["is_member"] is True
    assert await box.refused("DELETE", "/bots/b/channels/pair") == 400201
    await box.call("DELETE", "/bots/b/channels")
    assert (await box.call("GET", f"{TEAM}/members/b"))["is_member"] is False
    assert await box.refused("POST", "/bots/b/channels", {"channel_urls": ["sandbox_lobby"]}) == 400201


async def test_send(box):
    """A bot's message is answered nested under `message`, with the bot as its user."""
    await box.add_bot()
    body = {"message": "hello", "channel_url": "sandbox_team", "data": "d", "mentioned": ["ada"]}
    sent = (await box.call("POST", "/bots/helper/send", body))["message"]
    assert (sent["type"], sent["message"], sent["data"]) == ("MESG", "hello", "d")
    assert (sent["user"]["user_id"], sent["user"]["is_bot"]) == ("helper", True)
    assert [user["user_id"] for user in sent["mentioned_users"]] == ["ada"]
    assert await box.call("GET", f"{TEAM}/messages/{sent['message_id']}") == sent


async def test_send_file(box):
    """A bot can send a file, as an upload."""
    await box.add_bot()
    fields = {"message_type": "FILE", "channel_url": "sandbox_team"}
    answer = await box.call("POST", "/bots/helper/send", data=fields, files={"file": ("a.gif", b"GIF89a")})
    assert answer["message"]["file"]["name"] == "a.gif"
    assert (await box.client.get(answer["message"]["file"]["url"])).content == b"GIF89a"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"channel_url": "sandbox_team"}, 400105),
        ({"message": "x"}, 400105),
        ({"message": "x", "channel_url": "none"}, 400201),
        ({"message": "x", "channel_url": "sandbox_lobby"}, 400201),
        ({"message": "x", "channel_url": "pair"}, 400108),
        ({"message": "x", "channel_url": "sandbox_team", "message_type": "ADMM"}, 400111),
    ],
)
async def test_refused_sends(box, body, code):
    """A bot speaks only in group channels it is in, and never as an admin."""
    await box.add_bot()
    await box.call("POST", "/group_channels", {"channel_url": "pair", "user_ids": ["ada"]})
    assert await box.refused("POST", "/bots/helper/send", body) == code


async def test_dedup_id(hooked, receiver):
    """A repeated `dedup_id` gives the first message again: nothing is created, nothing posted."""
    await hooked.add_bot()
    body = {"message": "once", "channel_url": "sandbox_team", "dedup_id": "k1"}
    first = await hooked.call("POST", "/bots/helper/send", body)
    again = await hooked.call("POST", "/bots/helper/send", body | {"message": "twice"})
    other = await hooked.call("POST", "/bots/helper/send", body | {"dedup_id": "k2"})
    assert first == again != other
    assert await hooked.call("GET", f"{TEAM}/messages/total_count") == {"total": 2}
    await hooked.settled()
    assert receiver.categories().count("group_channel:message_send") == 2


async def test_dedup_is_per_bot_and_channel(box):
    """The same `dedup_id` of another bot, or in another channel, is another message."""
    await box.add_bot()
    await box.add_bot(bot_userid="other")
    await box.call("POST", "/group_channels", {"channel_url": "pair", "user_ids": ["helper"]})
    places = [("helper", "sandbox_team"), ("other", "sandbox_team"), ("helper", "pair")]
    ids = set()
    for bot, channel_url in places:
        body = {"message": "x", "channel_url": channel_url, "dedup_id": "k"}
        ids.add((await box.call("POST", f"/bots/{bot}/send", body))["message"]["message_id"])
    assert len(ids) == 3


async def test_callback(run, receiver):
    """A callback has every field of the bot interface, and is signed."""
    async with run() as box:
        made = await box.add_bot(f"{receiver.url}/bot", show_member=True)
        sent = await box.say("ada", "how are you?", data="d")
        post = await receiver.get("bot_message_notification")
        body = post.json
        assert post.path == "/bot"
        assert signature.verify(
            [signature.Key(b"a-test-token")], post.body, post.headers["x-sendbird-signature"].encode()
        )
        assert body["message"] == {
            "text": "how are you?",
            "data": "d",
            "files": [],
            "message_id": sent["message_id"],
            "created_at": sent["created_at"],
        }
        assert (body["app_id"], body["ts"], body["mentioned"]) == ("SANDBOX-TEST", sent["created_at"], [])
        assert body["channel"] == {"channel_url": "sandbox_team", "name": "Team chat", "cover_url": ""}
        assert body["sender"] == {"user_id": "ada", "nickname": "Ada Lovelace", "profile_url": ""}
        assert body["bot"] == made["bot"]
        member = next(member for member in body["members"] if member["user_id"] == "mary")
        assert (member["is_online"], member["is_push_enabled"], member["unread_message_count"]) == (
            False,
            True,
            1,
        )


async def test_members_hidden(run, receiver):
    """Without `show_member` a callback has no members."""
    async with run() as box:
        await box.add_bot(receiver.url)
        await box.say("ada", "hi")
        assert "members" not in (await receiver.get("bot_message_notification")).json


async def test_file_in_callback(run, receiver):
    """A file reaches a bot among `files`, with an empty text."""
    async with run() as box:
        await box.add_bot(receiver.url)
        fields = {"message_type": "FILE", "user_id": "ada"}
        files = {"file": ("a.txt", b"12345", "text/plain")}
        sent = await box.call("POST", f"{TEAM}/messages", data=fields, files=files)
        message = (await receiver.get("bot_message_notification")).json["message"]
        assert message["text"] == ""
        file = {"url": sent["file"]["url"], "name": "a.txt", "type": "text/plain", "size": 5}
        assert message["files"] == [file]


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("hello all", False),
        ("/gif cats", True),
        ("no / here", False),
        ("hi @helper", True),
        ("hi @Helper Bot, please", True),
        ("hi @HELPER!", True),
        ("hi @helper_2", False),
        ("mail@helper.org", False),
        ("helper?", False),
    ],
)
async def test_privacy_mode(run, receiver, text, reaches):
    """In privacy mode a bot hears only what begins with `/` or mentions it by id or nickname."""
    async with run() as box:
        await box.add_bot(receiver.url, is_privacy_mode=True)
        await box.say("ada", text)
        await box.settled()
        assert receiver.categories() == ["bot_message_notification"] * reaches


async def test_mentioned_users_reach_a_private_bot(run, receiver):
    """A bot in privacy mode hears a message that names it as mentioned, whatever the text."""
    async with run() as box:
        await box.add_bot(receiver.url, is_privacy_mode=True)
        await box.say("ada", "you there", mentioned_user_ids=["helper"])
        assert (await receiver.get("bot_message_notification")).json["mentioned"] == ["helper"]


async def test_own_message_comes_back(run, receiver):
    """A bot's own message comes back as a webhook, goes to other bots, and never to itself."""
    async with run(webhook_url=f"{receiver.url}/hook") as box:
        await box.add_bot(f"{receiver.url}/helper")
        await box.add_bot(f"{receiver.url}/nosy", bot_userid="nosy")
        await box.add_bot(f"{receiver.url}/private", bot_userid="private", is_privacy_mode=True)
        await box.call("POST", "/bots/helper/send", {"message": "hello", "channel_url": "sandbox_team"})
        back = (await receiver.get("group_channel:message_send")).json
        assert (back["sender"]["user_id"], back["sender"]["is_bot"]) == ("helper", True)
        await box.settled()
        heard = [post.path for post in receiver.posts if post.category == "bot_message_notification"]
        assert heard == ["/nosy"]


async def test_admin_messages_reach_no_bot(run, receiver):
    """An admin message is for people: no bot hears it."""
    async with run() as box:
        await box.add_bot(receiver.url)
        await box.call("POST", f"{TEAM}/messages", {"message_type": "ADMM", "message": "/noon"})
        assert await box.settled() == []


async def test_bots_elsewhere_hear_nothing(run, receiver):
    """A bot hears its own channels only."""
    async with run() as box:
        await box.call("POST", "/group_channels", {"channel_url": "pair", "user_ids": ["ada"]})
        await box.add_bot(receiver.url, channel_url="pair")
        await box.say("ada", "hi")
        assert await box.settled() == []


async def test_bot_without_a_callback(box):
    """A bot whose callback URL is empty is posted nothing."""
    await box.add_bot("")
    await box.say("ada", "hi")
    assert await box.settled() == []
