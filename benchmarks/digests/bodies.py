"""The webhooks: messages in channels, whose members are offline."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import orjson

MEMBERS = 10
"""Members of a channel, the sender among them."""
TEXT = "Could you look at the numbers for next week before we meet? The sheet is where it always is."


def bodies(users: int, channels: int, messages: int) -> Iterator[tuple[int, bytes]]:
    """Give messages, spread over channels at random; each with its channel's number."""
    chance = random.Random(1)  # noqa: S311 - the same load in every run
    people = [chance.sample(range(users), MEMBERS) for _ in range(channels)]
    for position, user in enumerate(chance.sample(range(users), users)):  # everybody is somewhere
        people[position % channels][1 + position // channels % (MEMBERS - 1)] = user
    for number in range(messages):
        channel = chance.randrange(channels)
        yield channel, _body(channel, people[channel], number)


def _body(channel: int, people: list[int], number: int) -> bytes:
    sender, *readers = [f"user_{person}" for person in people]
    return orjson.dumps(
        {
            "category": "group_channel:message_send",
            "members": [_member(sender, is_online=True)] + [_member(one, is_online=False) for one in readers],
            "type": "MESG",
            "custom_type": "",
            "payload": {
                "message_id": 10_000_000 + number,
                "created_at": int(time.time() * 1000),
                "message": TEXT,
            },
            "silent": False,
            "sender": {"user_id": sender, "nickname": sender.title(), "profile_url": "", "metadata": {}},
            "mention_type": "users",
            "mentioned_users": [],
            "channel": {"channel_url": f"channel_{channel}", "name": f"Channel {channel}", "custom_type": ""},
            "app_id": "BENCH",
        }
    )


def _member(user_id: str, *, is_online: bool) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "nickname": user_id.title(),
        "profile_url": "",
        "metadata": {"email": f"{user_id}@example.com"},
        "is_active": True,
        "is_online": is_online,
        "is_hidden": 0,
        "state": "joined",
        "push_enabled": True,
        "push_trigger_option": "all",
        "do_not_disturb": False,
        "is_blocking_sender": False,
        "is_blocked_by_sender": False,
        "channel_unread_message_count": 1,
    }
