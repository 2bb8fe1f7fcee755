"""Users, their metadata, blocks and unread counts."""

from __future__ import annotations

import pytest


async def test_life_of_a_user(box):
    """A user can be created, seen, changed and deleted."""
    made = await box.call(
        "POST", "/users", {"user_id": "alan", "nickname": "Alan", "profile_url": "http://x/a.png"}
    )
    assert (made["user_id"], made["nickname"], made["is_online"], made["is_active"]) == (
        "alan",
        "Alan",
        False,
        True,
    )
    changed = await box.call("PUT", "/users/alan", {"nickname": "Turing"})
    assert changed["nickname"] == "Turing"
    assert (await box.call("GET", "/users/alan"))["profile_url"] == "http://x/a.png"
    assert await box.call("DELETE", "/users/alan") == {}
    assert await box.refused("GET", "/users/alan") == 400201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"nickname": "A"}, 400105),
        ({"user_id": "a"}, 400105),
        ({"user_id": 1, "nickname": "A"}, 400100),
        ({"user_id": "", "nickname": "A"}, 400111),
        ({"user_id": "a" * 91, "nickname": "A"}, 400110),
        ({"user_id": "ada", "nickname": "A"}, 400202),
        ({"user_id": "a", "nickname": "A", "issue_access_token": "yes"}, 400104),
        ({"user_id": "a", "nickname": "A", "metadata": []}, 400103),
    ],
)
async def test_refused_users(box, body, code):
    """What is missing, of a wrong type, too long or taken is refused with Sendbird's own code."""
    assert await box.refused("POST", "/users", body) == code


async def test_access_token(box):
    """A user can be given an access token, which lists don't show."""
    made = await box.call("POST", "/users", {"user_id": "alan", "nickname": "A", "issue_access_token": True})
    assert len(made["access_token"]) == 40
    listed = await box.call("GET", "/users", params={"user_ids": "alan"})
    assert "access_token" not in listed["users"][0]


async def test_online_switch(box):
    """`is_online` switches a user offline, and from then on the last time seen is shown."""
    assert (await box.call("GET", "/users/ada"))["last_seen_at"] == 0
    off = await box.call("PUT", "/users/ada", {"is_online": False})
    assert (off["is_online"], off["last_seen_at"] > 10**12) == (False, True)
    on = await box.call("PUT", "/users/ada", {"is_online": True})
    assert (on["is_online"], on["last_seen_at"]) == (True, 0)


async def test_deactivation(box):
    """A deactivated user goes offline, leaves the group channels and the default list."""
    await box.call("PUT", "/users/ada", {"is_active": False})
    listed = await box.call("GET", "/users")
    assert "ada" not in [user["user_id"] for user in listed["users"]]
    assert (await box.call("GET", "/group_channels/sandbox_team/members/ada"))["is_member"] is False
    inactive = await box.call("GET", "/users", params={"active_mode": "deactivated"})
    assert [user["is_online"] for user in inactive["users"]] == [False]


async def test_bots_in_the_list(box):
    """Bots are users, and can be left out of the list."""
    await box.add_bot()
    shown = await box.call("GET", "/users")
    hidden = await box.call("GET", "/users", params={"show_bot": "false"})
    assert "helper" in [user["user_id"] for user in shown["users"]]
    assert "helper" not in [user["user_id"] for user in hidden["users"]]


async def test_metadata(box):
    """Metadata can be created, read, changed and deleted, item by item or all at once."""
    path = "/users/ada/metadata"
    await box.call("DELETE", path)
    assert await box.call("POST", path, {"metadata": {"city": "London", "plan": "a"}}) == {
        "city": "London",
        "plan": "a",
    }
    assert await box.refused("POST", path, {"metadata": {"city": "Paris"}}) == 400202
    assert await box.refused("PUT", path, {"metadata": {"new": "x"}}) == 400201
    await box.call("PUT", path, {"metadata": {"new": "x", "plan": "b"}, "upsert": True})
    await box.call("PUT", f"{path}/city", {"value": "Paris"})
    assert await box.call("GET", path) == {"city": "Paris", "plan": "b", "new": "x"}
    assert await box.call("GET", path, params={"keys": "city,new"}) == {"city": "Paris", "new": "x"}
    await box.call("DELETE", f"{path}/new")
    assert await box.refused("GET", f"{path}/new") == 400201
    await box.call("DELETE", path)
    assert await box.call("GET", path) == {}


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ({"a,b": "x"}, 400111),
        ({"": "x"}, 400111),
        ({"k" * 129: "x"}, 400110),
        ({"k": "v" * 191}, 400110),
        ({"k": 3}, 400100),
        ({str(number): "x" for number in range(6)}, 400111),
    ],
)
async def test_metadata_limits(box, items, code):
    """At most 5 items, keys of 128 characters without a comma, strings of 190; else nothing changes."""
    await box.call("DELETE", "/users/ada/metadata")
    assert await box.refused("POST", "/users/ada/metadata", {"metadata": items}) == code
    assert await box.call("GET", "/users/ada/metadata") == {}


async def test_metadata_at_the_limits(box):
    """Exactly 5 items of the greatest length are accepted."""
    await box.call("DELETE", "/users/ada/metadata")
    items = {f"{number}{'k' * 127}": "é" * 190 for number in range(5)}
    assert await box.call("POST", "/users/ada/metadata", {"metadata": items}) == items


async def test_blocking(box):
    """A block can be made, listed and taken back; nobody blocks themselves."""
    assert (await box.call("POST", "/users/ada/block", {"target_id": "mary"}))["user_id"] == "mary"
    listed = await box.call("GET", "/users/ada/block")
    assert [user["user_id"] for user in listed["users"]] == ["mary"]
    assert await box.call("DELETE", "/users/ada/block/mary") == {}
    assert await box.refused("DELETE", "/users/ada/block/mary") == 400201
    assert await box.refused("POST", "/users/ada/block", {"target_id": "ada"}) == 400112


async def test_unread_count(box):
    """A user's unread count sums the group channels, and goes to 0 when everything is read."""
    await box.call("POST", "/group_channels", {"channel_url": "pair", "user_ids": ["ada", "grace"]})
    await box.say("ada", "one")
    await box.say("ada", "two", "pair")
    assert await box.call("GET", "/users/grace/unread_count") == {"unread_count": 2}
    await box.call("PUT", "/users/grace/mark_as_read_all", {})
    assert await box.call("GET", "/users/grace/unread_count") == {"unread_count": 0}


async def test_my_group_channels(box):
    """A user's channels are those with messages, or all with `show_empty`; unread is counted for the user."""
    await box.call("POST", "/group_channels", {"channel_url": "pair", "user_ids": ["ada", "grace"]})
    await box.say("ada", "one", "pair")
    path = "/users/grace/my_group_channels"
    used = (await box.call("GET", path))["channels"]
    assert [(channel["channel_url"], channel["unread_message_count"]) for channel in used] == [("pair", 1)]
    every = (await box.call("GET", path, params={"show_empty": "true", "show_member": "true"}))["channels"]
    assert {channel["channel_url"] for channel in every} == {"pair", "sandbox_team"}
    assert all(channel["members"] for channel in every)


async def test_deleted_user(box):
    """A deleted user is in no channel any more, and their messages stay."""
    await box.say("mary", "bye")
    await box.call("DELETE", "/users/mary")
    team = await box.call("GET", "/group_channels/sandbox_team", params={"show_member": "true"})
    assert {member["user_id"] for member in team["members"]} == {"ada", "grace"}
    assert team["member_count"] == 2
    assert team["last_message"]["user"]["user_id"] == "mary"
    lobby = await box.call("GET", "/open_channels/sandbox_lobby")
    assert lobby["participant_count"] == 2
