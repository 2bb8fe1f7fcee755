"""Group and open channels, without their messages."""

from __future__ import annotations

import pytest


async def test_life_of_a_group_channel(box):
    """A group channel can be created, seen, changed and deleted."""
    body = {"name": "Pair", "user_ids": ["ada", "grace"], "custom_type": "work", "data": "{}"}
    made = await box.call("POST", "/group_channels", body)
    assert (made["name"], made["custom_type"], made["data"], made["member_count"]) == (
        "Pair",
        "work",
        "{}",
        2,
    )
    assert {member["user_id"] for member in made["members"]} == {"ada", "grace"}
    path = f"/group_channels/{made['channel_url']}"
    assert "members" not in await box.call("GET", path)
    changed = await box.call("PUT", path, {"name": "Duo"})
    assert (changed["name"], changed["data"]) == ("Duo", "{}")
    assert await box.call("DELETE", path) == {}
    assert await box.refused("GET", path) == 400201


async def test_created_at_is_in_seconds(box):
    """A channel's `created_at` counts seconds, as the Platform API says."""
    assert 10**9 < (await box.call("GET", "/group_channels/sandbox_team"))["created_at"] < 10**10


async def test_distinct(box):
    """A distinct channel is found again by its members, whatever their order."""
    first = await box.call("POST", "/group_channels", {"user_ids": ["ada", "grace"], "is_distinct": True})
    again = await box.call("POST", "/group_channels", {"user_ids": ["grace", "ada"], "is_distinct": True})
    other = await box.call("POST", "/group_channels", {"user_ids": ["grace", "ada"]})
    assert first["channel_url"] == again["channel_url"] != other["channel_url"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"user_ids": ["nobody"]}, 400201),
        ({"user_ids": "ada"}, 400102),
        ({"user_ids": [1]}, 400100),
        ({"channel_url": "sandbox_team"}, 400202),
        ({"channel_url": "no/slash"}, 400111),
        ({"name": "n" * 1025}, 400110),
    ],
)
async def test_refused_channels(box, body, code):
    """Unknown users, wrong types and taken or impossible addresses are refused."""
    assert await box.refused("POST", "/group_channels", body) == code


async def test_kinds_are_apart(box):
    """A group channel is not found among the open ones, and the other way round."""
    assert await box.refused("GET", "/open_channels/sandbox_team") == 400201
    assert await box.refused("GET", "/group_channels/sandbox_lobby") == 400201


async def test_invite_and_leave(box):
    """Who is invited is a member at once; who leaves is none any more, and can't leave twice."""
    await box.call("POST", "/users", {"user_id": "alan", "nickname": "Alan"})
    path = "/group_channels/sandbox_team"
    assert (await box.call("POST", f"{path}/invite", {"user_ids": ["alan"]}))["member_count"] == 4
    assert (await box.call("GET", f"{path}/members/alan"))["is_member"] is True
    members = (await box.call("GET", f"{path}/members"))["members"]
    assert {member["state"] for member in members} == {"joined"}
    await box.call("PUT", f"{path}/leave", {"user_ids": ["alan"]})
    assert (await box.call("GET", f"{path}/members/alan"))["is_member"] is False
    assert await box.refused("PUT", f"{path}/leave", {"user_ids": ["alan"]}) == 400108


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, {"sandbox_team", "pair", "solo"}),
        ({"custom_type": "work"}, {"pair"}),
        ({"channel_urls": "pair,solo"}, {"pair", "solo"}),
        ({"members_exactly_in": "ada,grace"}, {"pair"}),
        ({"members_include_in": "ada,mary"}, {"sandbox_team"}),
        ({"members_include_in": "grace,mary", "query_type": "OR"}, {"sandbox_team", "pair", "solo"}),
        ({"members_nickname_contains": "Love"}, {"sandbox_team", "pair"}),
        ({"distinct_mode": "distinct"}, {"solo"}),
        ({"distinct_mode": "nondistinct"}, {"sandbox_team", "pair"}),
    ],
)
async def test_search(box, query, found):
    """Channels can be searched by type, address, members and distinctness."""
    pair = {"channel_url": "pair", "user_ids": ["ada", "grace"], "custom_type": "work"}
    await box.call("POST", "/group_channels", pair)
    await box.call(
        "POST", "/group_channels", {"channel_url": "solo", "user_ids": ["mary"], "is_distinct": True}
    )
    channels = (await box.call("GET", "/group_channels", params=query))["channels"]
    assert {channel["channel_url"] for channel in channels} == found


async def test_latest_first(box):
    """With `latest_last_message` the liveliest channel comes first."""
    await box.call("POST", "/group_channels", {"channel_url": "pair", "user_ids": ["ada"]})
    await box.say("ada", "hello")
    channels = (await box.call("GET", "/group_channels", params={"order": "latest_last_message"}))["channels"]
    assert [channel["channel_url"] for channel in channels] == ["sandbox_team", "pair"]


async def test_open_channel(box):
    """An open channel is entered and left freely, and has operators."""
    made = await box.call("POST", "/open_channels", {"name": "Hall", "operators": ["ada"]})
    path = f"/open_channels/{made['channel_url']}"
    assert [user["user_id"] for user in made["operators"]] == ["ada"]
    await box.call("POST", f"{path}/participants", {"user_id": "mary"})
    people = (await box.call("GET", f"{path}/participants"))["participants"]
    assert [user["user_id"] for user in people] == ["mary"]
    await box.call("DELETE", f"{path}/participants/mary")
    assert (await box.call("GET", path))["participant_count"] == 0
    assert await box.refused("DELETE", f"{path}/participants/mary") == 400201
    changed = await box.call("PUT", path, {"name": "Great hall", "operators": ["grace"]})
    assert (changed["name"], changed["operators"][0]["user_id"]) == ("Great hall", "grace")


async def test_read_receipts(box):
    """Read receipts say when each member read last; sending is reading."""
    sent = await box.say("ada", "hello")
    receipts = (await box.call("GET", "/group_channels/sandbox_team", params={"read_receipt": "true"}))[
        "read_receipt"
    ]
    assert receipts["ada"] >= sent["created_at"] > receipts["grace"]
