"""The plugin keeps the contract of handlers, on its way in and on its way out."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

import handlers.offline_email as plugin
from receiver.testing import HandlersContract, Stage

CHANNELS = ("group_lakeside_bakery",)
PEOPLE = ("mira", "teodor", "noor-88")


@pytest.fixture(autouse=True)
def _members_as_on_sendbird(monkeypatch):
    """Group channels have at most 100 members, and 10,000 would be 10,000 mails for each of the samples."""
    monkeypatch.setattr("receiver.testing.cases.MANY", 100)


class TestGathering(HandlersContract):
    """With nothing unread: events are gathered, asked about, and dropped."""

    handlers = plugin.handlers


class TestMailing(HandlersContract):
    """With something unread, and addresses for all: mails go out."""

    handlers = plugin.handlers
    settings: ClassVar[dict[str, Any]] = {
        "addresses": "tests.handlers.offline_email.test_contract:address_of",
        "ask_for_changes": False,
    }

    async def prepare(self, stage: Stage) -> None:
        """Have the samples' channel hold messages that its members haven't read."""
        call = stage.sendbird.call
        for user_id in PEOPLE:
            user = {"user_id": user_id, "nickname": user_id, "profile_url": ""}
            await call("POST", "/users", json=user)
        for channel_url in CHANNELS:
            channel = {"channel_url": channel_url, "user_ids": list(PEOPLE)}
            await call("POST", "/group_channels", json=channel)
            for _ in range(3):
                await stage.sendbird.send_message(channel_url, "hello")


async def address_of(user_id: str) -> str:
    """Give everybody an address."""
    return f"user-{len(user_id)}@example.com"


async def test_mails_go_out():
    """The second contract is about mails: there is one for the reader of the usual sample."""
    async with Stage(plugin.handlers, settings=TestMailing.settings) as stage:
        await TestMailing().prepare(stage)
        await stage.send("group_channel:message_send", case="mesg-members")
        outcome = await stage.settle()
        outcome.assert_mailed("user-6@example.com", times=1)
