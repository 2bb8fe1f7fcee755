"""What is posted to the webhook, in which shape and when."""

from __future__ import annotations

import pytest

from receiver import signature
from receiver.sandbox.webhooks import CATEGORIES

TEAM = "/group_channels/sandbox_team"
LOBBY = "/open_channels/sandbox_lobby"


async def test_text_message(hooked, receiver):
    """A text message is posted with app, channel, sender, payload and members, as Sendbird names them."""
    sent = await hooked.say("ada", "hello", data="d", custom_type="t")
    post = await receiver.get("group_channel:message_send")
    assert post.path == "/hook"
    body = post.json
    assert (body["app_id"], body["type"], body["custom_type"], body["silent"]) == (
        "SANDBOX-TEST",
        "MESG",
        "t",
        False,
    )
    assert body["channel"] | {"channel_url": "sandbox_team", "name": "Team chat"} == body["channel"]
    assert (body["sender"]["user_id"], body["sender"]["nickname"]) == ("ada", "Ada Lovelace")
    assert body["payload"] == {
        "message_id": sent["message_id"],
        "created_at": sent["created_at"],
        "custom_type": "t",
        "message": "hello",
        "data": "d",
        "translations": {},
    }


async def test_members(hooked, receiver):
    """Members come with their state, metadata and unread counts, the sender among them."""
    await hooked.call("POST", "/users/mary/block", {"target_id": "ada"})
    await hooked.say("ada", "hello")
    body = (await receiver.get("group_channel:message_send")).json
    members = {member["user_id"]: member for member in body["members"]}
    assert members.keys() == {"ada", "grace", "mary"}
    ada, mary = members["ada"], members["mary"]
    assert (ada["is_online"], ada["unread_message_count"]) == (True, 0)
    assert (mary["is_online"], mary["unread_message_count"], mary["total_unread_message_count"]) == (
        False,
        1,
        1,
    )
    assert mary["metadata"]["email"] == "mary@example.com"
    assert (mary["state"], mary["is_hidden"], mary["push_enabled"]) == ("joined", 0, True)
    assert (mary["is_blocking_sender"], members["grace"]["is_blocking_sender"]) == (True, False)


async def test_members_left_out(run, receiver):
    """Without `include_members` no members are posted."""
    async with run(webhook_url=receiver.url, include_members=False) as box:
        await box.say("ada", "hello")
        body = (await receiver.get("group_channel:message_send")).json
        assert "members" not in body


async def test_file_message(hooked, receiver):
    """A file's payload has url, filename, content_type and content_size, and no message."""
    fields = {"message_type": "FILE", "user_id": "ada"}
    await hooked.call(
        "POST", f"{TEAM}/messages", data=fields, files={"file": ("a.pdf", b"12345", "application/pdf")}
    )
    body = (await receiver.get("group_channel:message_send")).json
    payload = body["payload"]
    assert body["type"] == "FILE"
    assert (payload["filename"], payload["content_type"], payload["content_size"]) == (
        "a.pdf",
        "application/pdf",
        5,
    )
    assert payload["url"].startswith(hooked.url)
    assert "message" not in payload


async def test_admin_message(hooked, receiver):
    """An admin message is posted without a sender."""
    await hooked.call("POST", f"{TEAM}/messages", {"message_type": "ADMM", "message": "noon"})
    body = (await receiver.get("group_channel:message_send")).json
    assert (body["type"], body["payload"]["message"]) == ("ADMM", "noon")
    assert "sender" not in body


async def test_wire_form(hooked, receiver):
    """Bodies are compact, with `\\/` and `\\uXXXX`; the signature is over exactly these bytes."""
    await hooked.say("ada", "a/b é 🎉")
    post = await receiver.get("group_channel:message_send")
    assert b'"message":"a\\/b \\u00e9 \\ud83c\\udf89"' in post.body
    assert post.headers["user-agent"] == "SendBird"
    assert post.headers["content-type"] == "application/json"
    given = post.headers["x-sendbird-signature"].encode()
    assert signature.verify([signature.Key(b"a-test-token")], post.body, given)
    assert not signature.verify([signature.Key(b"another-token")], post.body, given)


async def test_message_read(hooked, receiver):
    """Reading is posted with the reader's counts, once, and not if there was nothing to read."""
    await hooked.say("ada", "hello")
    for _ in range(2):
        await hooked.call("PUT", f"{TEAM}/messages/mark_as_read", {"user_id": "grace"})
    body = (await receiver.get("group_channel:message_read")).json
    (update,) = body["read_updates"]
    assert (
        update["user_id"],
        update["channel_unread_message_count"],
        update["total_unread_message_count"],
    ) == (
        "grace",
        0,
        0,
    )
    assert update["read_ts"] > 10**12
    assert "sender" not in body
    assert "payload" not in body
    await hooked.settled()
    assert receiver.categories().count("group_channel:message_read") == 1


async def test_message_changes(hooked, receiver):
    """Changing and deleting a message is posted with its id."""
    sent = await hooked.say("ada", "helo")
    path = f"{TEAM}/messages/{sent['message_id']}"
    await hooked.call("PUT", path, {"message": "hello"})
    await hooked.call("DELETE", path)
    changed = (await receiver.get("group_channel:message_update")).json["payload"]
    deleted = (await receiver.get("group_channel:message_delete")).json["payload"]
    assert (changed["message"], changed["message_id"]) == ("hello", sent["message_id"])
    assert changed["updated_at"] > changed["created_at"]
    assert deleted["message_id"] == sent["message_id"]


async def test_group_channel_events(hooked, receiver):
    """The life of a group channel is posted: create, join, changed, invite, leave, remove."""
    made = await hooked.call(
        "POST", "/group_channels", {"name": "Pair", "user_ids": ["ada"], "inviter_id": "ada"}
    )
    path = f"/group_channels/{made['channel_url']}"
    await hooked.call("PUT", path, {"name": "Duo", "data": ""})
    await hooked.call("POST", f"{path}/invite", {"user_ids": ["grace"], "inviter_id": "ada"})
    await hooked.call("PUT", f"{path}/leave", {"user_ids": ["ada"]})
    await hooked.call("DELETE", path)
    create = (await receiver.get("group_channel:create")).json
    assert 10**9 < create["created_at"] < 10**10
    assert create["inviter"]["user_id"] == "ada"
    assert [user["user_id"] for user in (await receiver.get("group_channel:join")).json["users"]] == ["ada"]
    changed = (await receiver.get("group_channel:changed")).json
    assert changed["changes"] == [{"key": "name", "old": "Pair", "new": "Duo"}]
    invite = (await receiver.get("group_channel:invite")).json
    assert ([user["user_id"] for user in invite["invitees"]], invite["inviter"]["user_id"]) == (
        ["grace"],
        "ada",
    )
    assert [user["user_id"] for user in (await receiver.get("group_channel:join", 2)).json["users"]] == [
        "grace"
    ]
    assert [user["user_id"] for user in (await receiver.get("group_channel:leave")).json["users"]] == ["ada"]
    remove = (await receiver.get("group_channel:remove")).json
    assert (remove["channel"]["name"], remove["removed_at"] > 10**12) == ("Duo", True)


async def test_nothing_changed(hooked, receiver):
    """A channel update that changes nothing is not posted."""
    await hooked.call("PUT", TEAM, {"name": "Team chat"})
    assert await hooked.settled() == []
    assert receiver.posts == []


async def test_open_channel_events(hooked, receiver):
    """The life of an open channel is posted: create, enter, messages, exit, remove; never members."""
    made = await hooked.call("POST", "/open_channels", {"name": "Hall", "operators": ["ada"]})
    path = f"/open_channels/{made['channel_url']}"
    await hooked.call("POST", f"{path}/participants", {"user_id": "grace"})
    body = {"message_type": "MESG", "user_id": "grace", "message": "hi"}
    sent = await hooked.call("POST", f"{path}/messages", body)
    await hooked.call("PUT", f"{path}/messages/{sent['message_id']}", {"message": "ho"})
    await hooked.call("DELETE", f"{path}/messages/{sent['message_id']}")
    await hooked.call("DELETE", f"{path}/participants/grace")
    await hooked.call("DELETE", path)
    names = ("create", "enter", "message_send", "message_update", "message_delete", "exit", "remove")
    bodies = [(await receiver.get(f"open_channel:{name}")).json for name in names]
    assert bodies[0]["operators"][0]["user_id"] == "ada"
    assert bodies[1]["users"][0]["user_id"] == "grace"
    assert bodies[2]["sender"]["user_id"] == "grace"
    assert {body["channel"]["channel_url"] for body in bodies} == {made["channel_url"]}
    assert not any("members" in body for body in bodies)


async def test_blocks(hooked, receiver):
    """A block and its end are posted without channel and time."""
    await hooked.call("POST", "/users/ada/block", {"target_id": "mary"})
    await hooked.call("POST", "/users/ada/block", {"target_id": "mary"})
    await hooked.call("DELETE", "/users/ada/block/mary")
    block = (await receiver.get("user:block")).json
    unblock = (await receiver.get("user:unblock")).json
    assert (block["blocker"]["user_id"], block["blockee"]["user_id"]) == ("ada", "mary")
    assert (unblock["unblocker"]["user_id"], unblock["unblockee"]["user_id"]) == ("ada", "mary")
    assert block.keys() == {"category", "app_id", "blocker", "blockee"}
    await hooked.settled()
    assert receiver.categories().count("user:block") == 1


async def test_no_webhook(box):
    """Without a URL nothing is posted."""
    await box.say("ada", "hello")
    assert await box.settled() == []


async def test_settings(box, receiver):
    """The webhook can be set while the sandbox runs, and narrowed to some events."""
    path = "/applications/settings/webhook"
    assert (await box.call("GET", path))["webhook"]["enabled"] is False
    settings = {
        "enabled": True,
        "url": f"{receiver.url}/later",
        "include_members": False,
        "enabled_events": ["user:block", "group_channel:message_send"],
    }
    assert (await box.call("PUT", path, settings))["webhook"] == settings
    await box.call("POST", "/users", {"user_id": "alan", "nickname": "Alan"})
    await box.call("POST", f"{TEAM}/invite", {"user_ids": ["alan"]})
    await box.say("alan", "hi")
    post = await receiver.get("group_channel:message_send")
    assert post.path == "/later"
    assert "members" not in post.json
    assert receiver.categories() == ["group_channel:message_send"]
    every = await box.call("GET", path, params={"display_all_webhook_categories": "true"})
    assert every["webhook"]["all_webhook_categories"] == list(CATEGORIES)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"enabled": True}, 400105),
        ({"url": "ftp://x"}, 400111),
        ({"url": "nonsense"}, 400111),
        ({"enabled_events": ["no:such"]}, 400111),
        ({"enabled": 1}, 400104),
    ],
)
async def test_refused_settings(box, settings, code):
    """A webhook without a web address, or with unknown events, is refused."""
    assert await box.refused("PUT", "/applications/settings/webhook", settings) == code


async def test_seeds_are_no_events(hooked, receiver):
    """The sample data is not posted."""
    await hooked.say("ada", "first")
    await receiver.get("group_channel:message_send")
    assert [record["category"] for record in await hooked.settled()] == ["group_channel:message_send"]


async def test_deleted_users_leave(hooked, receiver):
    """A deleted user's leaving is posted, and later members are without them."""
    await hooked.call("DELETE", "/users/mary")
    leave = (await receiver.get("group_channel:leave")).json
    assert [user["user_id"] for user in leave["users"]] == ["mary"]
    await hooked.say("ada", "hello")
    body = (await receiver.get("group_channel:message_send")).json
    assert {member["user_id"] for member in body["members"]} == {"ada", "grace"}
