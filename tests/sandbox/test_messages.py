"""Messages of every type, and what is unread."""

from __future__ import annotations

import pytest

TEAM = "/group_channels/sandbox_team/messages"
LOBBY = "/open_channels/sandbox_lobby/messages"


async def unread(box, *user_ids):
    answer = await box.call("GET", f"{TEAM}/unread_count", params={"user_ids": ",".join(user_ids)})
    return answer["unread"]


async def test_text(box):
    """A text message is answered whole: sender, text, data, a time in ms and an id beyond 32 bits."""
    sent = await box.say("ada", "hello", data='{"a": 1}', custom_type="note")
    assert (sent["type"], sent["message"], sent["user"]["user_id"]) == ("MESG", "hello", "ada")
    assert (sent["data"], sent["custom_type"], sent["channel_url"]) == ('{"a": 1}', "note", "sandbox_team")
    assert sent["message_id"] > 2**32
    assert sent["created_at"] > 10**12
    assert await box.call("GET", f"{TEAM}/{sent['message_id']}") == sent


async def test_ids_and_times_grow(box):
    """Of two messages the later one has the greater id and the greater time."""
    first, second = await box.say("ada", "1"), await box.say("ada", "2")
    assert first["message_id"] < second["message_id"]
    assert first["created_at"] < second["created_at"]


async def test_file_by_url(box):
    """A file message can name a file that is elsewhere."""
    body = {"message_type": "FILE", "user_id": "ada", "url": "https://files.test/a/b.pdf", "file_size": 12}
    sent = await box.call("POST", TEAM, body)
    assert sent["type"] == "FILE"
    assert (sent["file"]["url"], sent["file"]["name"], sent["file"]["size"]) == (body["url"], "b.pdf", 12)


async def test_file_upload(box):
    """An uploaded file can be fetched again, byte for byte, as a download that no browser runs."""
    content = b"<script>alert(1)</script>"
    fields = {"message_type": "FILE", "user_id": "ada", "mark_as_read": "false"}
    files = {"file": ("evil ü.html", content, "text/html")}
    sent = await box.call("POST", TEAM, data=fields, files=files)
    assert (sent["file"]["name"], sent["file"]["size"], sent["file"]["type"]) == (
        "evil ü.html",
        25,
        "text/html",
    )
    fetched = await box.client.get(sent["file"]["url"], headers={"api-token": ""})
    assert fetched.content == content
    assert fetched.headers["content-type"] == "application/octet-stream"
    assert fetched.headers["content-disposition"].startswith("attachment")
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in fetched.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/files/0000/x", f"/files/{'0' * 32}/x", "/files/..%2f..%2fsandbox.db/x"])
async def test_unknown_file(run, tmp_path, path):
    """A file is found by its own id only; nothing else of the folder can be had."""
    async with run(data_dir=tmp_path) as box:
        answer = await box.client.get(path)
        assert (answer.status_code, answer.json()["error"]) == (400, True)


async def test_admin_message(box):
    """An admin message has no user, and is unread for everybody."""
    sent = await box.call("POST", TEAM, {"message_type": "ADMM", "message": "Restart at noon"})
    assert sent["type"] == "ADMM"
    assert "user" not in sent
    assert await unread(box, "ada", "grace", "mary") == {"ada": 1, "grace": 1, "mary": 1}


async def test_silent_admin_message(box):
    """A silent admin message changes neither the unread counts nor the last message."""
    await box.call("POST", TEAM, {"message_type": "ADMM", "message": "psst", "is_silent": True})
    assert await unread(box, "ada") == {"ada": 0}
    assert (await box.call("GET", "/group_channels/sandbox_team"))["last_message"] is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 400105),
        ({"message_type": "GIF"}, 400111),
        ({"message_type": "MESG", "user_id": "ada"}, 400105),
        ({"message_type": "MESG", "user_id": "ada", "message": ""}, 400111),
        ({"message_type": "MESG", "message": "x"}, 400105),
        ({"message_type": "MESG", "user_id": "nobody", "message": "x"}, 400201),
        ({"message_type": "MESG", "user_id": "stranger", "message": "x"}, 400108),
        ({"message_type": "FILE", "user_id": "ada"}, 400105),
        ({"message_type": "FILE", "user_id": "ada", "url": "http://x/y", "file_size": -1}, 400106),
        ({"message_type": "MESG", "user_id": "ada", "message": "x", "mention_type": "all"}, 400111),
    ],
)
async def test_refused_messages(box, body, code):
    """What is missing or wrong is refused, and so is a sender who is no member."""
    await box.call("POST", "/users", {"user_id": "stranger", "nickname": "S"})
    assert await box.refused("POST", TEAM, body) == code
    assert await box.call("GET", f"{TEAM}/total_count") == {"total": 0}


async def test_unread_counts(box):
    """A message is unread for all but its sender, until it is marked as read or deleted."""
    sent = await box.say("ada", "one")
    await box.say("ada", "two")
    assert await unread(box, "ada", "grace", "mary") == {"ada": 0, "grace": 2, "mary": 2}
    await box.call("PUT", f"{TEAM}/mark_as_read", {"user_id": "grace"})
    await box.call("DELETE", f"{TEAM}/{sent['message_id']}")
    assert await unread(box, "ada", "grace", "mary") == {"ada": 0, "grace": 0, "mary": 1}


async def test_sending_is_reading(box):
    """Who sends has read, unless `mark_as_read` is false."""
    await box.say("ada", "one")
    await box.say("grace", "two", mark_as_read=False)
    assert (await unread(box, "grace"))["grace"] == 1
    await box.say("grace", "three")
    assert (await unread(box, "grace"))["grace"] == 0


async def test_newcomers_start_with_nothing_unread(box):
    """What was said before one joined is not unread, and its deletion changes nothing."""
    await box.call("POST", "/users", {"user_id": "alan", "nickname": "Alan"})
    before = await box.say("ada", "before")
    await box.call("POST", "/group_channels/sandbox_team/invite", {"user_ids": ["alan"]})
    await box.say("ada", "after")
    await box.call("DELETE", f"{TEAM}/{before['message_id']}")
    assert (await unread(box, "alan"))["alan"] == 1


async def test_strangers_read_nothing(box):
    """Only members can mark a channel as read."""
    await box.call("POST", "/users", {"user_id": "alan", "nickname": "Alan"})
    assert await box.refused("PUT", f"{TEAM}/mark_as_read", {"user_id": "alan"}) == 400108


async def test_update(box):
    """A message can be changed; its type can't."""
    sent = await box.say("ada", "helo", data="d")
    path = f"{TEAM}/{sent['message_id']}"
    changed = await box.call("PUT", path, {"message_type": "MESG", "message": "hello"})
    assert (changed["message"], changed["data"], changed["updated_at"] > sent["created_at"]) == (
        "hello",
        "d",
        True,
    )
    assert await box.refused("PUT", path, {"message_type": "ADMM", "message": "x"}) == 400111
    assert await box.refused("PUT", path, {"message": ""}) == 400111


async def test_delete(box):
    """A deleted message is gone."""
    sent = await box.say("ada", "oops")
    path = f"{TEAM}/{sent['message_id']}"
    assert await box.call("DELETE", path) == {}
    assert await box.refused("GET", path) == 400201
    assert await box.refused("DELETE", path) == 400201


async def test_listing_around_a_moment(box):
    """A list is taken around a time: so many before, so many after, with or without the moment itself."""
    sent = [await box.say("ada", str(number)) for number in range(7)]
    moment = sent[3]["created_at"]

    async def texts(**query):
        found = await box.call("GET", TEAM, params=query)
        return [message["message"] for message in found["messages"]]

    assert await texts(message_ts=moment, prev_limit=2, next_limit=1) == ["1", "2", "3", "4"]
    assert await texts(message_ts=moment, prev_limit=2, next_limit=1, include="false") == ["1", "2", "4"]
    assert await texts(message_ts=moment, prev_limit=0, next_limit=9, reverse="true") == ["6", "5", "4", "3"]
    assert await texts(message_ts=0, prev_limit=2) == ["5", "6"]
    assert await texts(message_id=sent[1]["message_id"], prev_limit=1, next_limit=0) == ["0", "1"]
    assert await box.refused("GET", TEAM) == 400105
    assert await box.refused("GET", TEAM, params={"message_ts": 0, "prev_limit": 201}) == 400111


async def test_listing_by_kind(box):
    """A list can be narrowed to a type, a sender or a custom type."""
    await box.say("ada", "a", custom_type="t")
    await box.say("grace", "g")
    await box.call("POST", TEAM, {"message_type": "ADMM", "message": "m"})

    async def texts(**query):
        found = await box.call("GET", TEAM, params={"message_ts": 0, **query})
        return [message["message"] for message in found["messages"]]

    assert await texts(message_type="ADMM") == ["m"]
    assert await texts(sender_id="grace") == ["g"]
    assert await texts(custom_type="t") == ["a"]
    assert await texts() == ["a", "g", "m"]


async def test_open_channel_messages(box):
    """Anyone can speak in an open channel, where nothing is unread."""
    sent = await box.call("POST", LOBBY, {"message_type": "MESG", "user_id": "mary", "message": "hi"})
    assert sent["channel_url"] == "sandbox_lobby"
    assert await box.call("GET", f"{LOBBY}/total_count") == {"total": 1}
    assert await box.call("GET", "/users/ada/unread_count") == {"unread_count": 0}


async def test_mentions(box):
    """Mentioned users are answered whole, and counted for themselves."""
    sent = await box.say("ada", "look", mentioned_user_ids=["grace"])
    assert [user["nickname"] for user in sent["mentioned_users"]] == ["Grace Hopper"]
    viewed = [
        await box.call("GET", "/group_channels/sandbox_team", params={"user_id": user_id})
        for user_id in ("grace", "mary")
    ]
    assert [channel["unread_mention_count"] for channel in viewed] == [1, 0]
