"""What the client takes for granted about the Platform API, tried on the sandbox and on the real one.

The real one is used if SENDBIRD_CONTRACT_API_URL (ending in /v3) and SENDBIRD_CONTRACT_API_TOKEN are set.
Everything that is made there is deleted again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import uvicorn

from receiver.errors import SendbirdRefused
from receiver.sandbox import Sandbox
from receiver.sendbird import endpoints
from receiver.sendbird.api import NOT_FOUND, NOT_UNIQUE, path_of
from receiver.sendbird.platform import Platform
from receiver.sendbird.resources import BotAccount, Channel

URL, TOKEN = "SENDBIRD_CONTRACT_API_URL", "SENDBIRD_CONTRACT_API_TOKEN"


class Stage:
    """A client, and the people and places that a test needs. They are gone when the test is over."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        self.platform = Platform(base_url, token)
        self._made: list[str] = []

    def name(self, kind: str) -> str:
        return f"contract_{kind}_{uuid.uuid4().hex[:12]}"

    async def user(self, user_id: str = "") -> str:
        user_id = user_id or self.name("user")
        await self.platform.call(
            "POST", "/users", json={"user_id": user_id, "nickname": "N", "profile_url": ""}
        )
        self._made.append(path_of("users", user_id))
        return user_id

    async def bot(self, bot_userid: str = "") -> BotAccount:
        bot = await self.platform.create_bot(
            bot_userid or self.name("bot"), nickname="Bot", callback_url="https://example.com/bot"
        )
        self._made.append(path_of("bots", bot.bot_userid))
        return bot

    async def channel(self, *user_ids: str) -> Channel:
        answer = await self.platform.call(
            "POST", "/group_channels", json={"user_ids": list(user_ids), "name": "C", "is_distinct": False}
        )
        channel = Channel.read(answer)
        self._made.append(path_of("group_channels", channel.channel_url))
        return channel

    async def texts(self, channel_url: str) -> list[str]:
        path = path_of("group_channels", channel_url, "messages")
        answer = await self.platform.call("GET", path, params={"message_ts": 0, "next_limit": 100})
        return [message["message"] for message in answer["messages"]]

    async def clear(self) -> None:
        for path in reversed(self._made):
            try:
                await self.platform.call("DELETE", path)
            except SendbirdRefused as error:
                if error.code != NOT_FOUND:
                    raise
        await self.platform.aclose()


@asynccontextmanager
async def sandbox() -> AsyncIterator[tuple[str, str]]:
    """Run a sandbox; give the base of its API and its token."""
    listening = socket.create_server(("127.0.0.1", 0))  # calls wait in its backlog until the server is up
    app = Sandbox(app_id="CONTRACT", api_token="contract-token").app
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    running = asyncio.create_task(server.serve(sockets=[listening]))
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/v3", "contract-token"
    server.should_exit = True
    await running
    listening.close()


@pytest.fixture(params=["sandbox", "real"] if os.environ.get(URL) else ["sandbox"])
async def stage(request, anyio_backend) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        if request.param == "sandbox":
            base_url, token = await stack.enter_async_context(sandbox())
        else:
            base_url, token = os.environ[URL], os.environ[TOKEN]
        stage = Stage(base_url, token)
        stack.push_async_callback(stage.clear)
        yield stage


async def test_life_of_a_bot(stage):
    """A bot is created, found, listed, changed and deleted; then it is not found."""
    created = await stage.bot()
    assert created.token
    assert created.callback_url == "https://example.com/bot"
    assert created.is_privacy_mode is True
    assert await stage.platform.get_bot(created.bot_userid) == created
    assert created.bot_userid in [bot.bot_userid async for bot in stage.platform.list_bots()]
    changed = await stage.platform.update_bot(created.bot_userid, nickname="New", is_privacy_mode=False)
    assert (changed.nickname, changed.is_privacy_mode) == ("New", False)
    assert (changed.token, changed.callback_url) == (created.token, created.callback_url)
    await stage.platform.delete_bot(created.bot_userid)
    with pytest.raises(SendbirdRefused) as caught:
        await stage.platform.get_bot(created.bot_userid)
    assert caught.value.code == NOT_FOUND


async def test_second_bot_of_that_name(stage):
    """A user id that is taken is refused as not unique."""
    bot = await stage.bot()
    with pytest.raises(SendbirdRefused) as caught:
        await stage.platform.create_bot(bot.bot_userid, nickname="B", callback_url="https://example.com/bot")
    assert caught.value.code == NOT_UNIQUE


async def test_bot_speaks(stage):
    """A bot that has joined can send; its message comes back with an id and is in the channel."""
    bot, channel = await stage.bot(), await stage.channel(await stage.user())
    [joined] = await stage.platform.join_channels(bot.bot_userid, [channel.channel_url])
    assert joined.channel_url == channel.channel_url
    message = await stage.platform.send_bot_message(
        bot.bot_userid, channel.channel_url, "Grüße 👋 </b>", data='{"a": 1}', custom_type="greeting"
    )
    assert message.message_id > 0
    assert message.created_at > 1_500_000_000_000
    assert (message.message, message.data, message.custom_type) == ("Grüße 👋 </b>", '{"a": 1}', "greeting")
    assert (message.channel_url, message.user.user_id) == (channel.channel_url, bot.bot_userid)
    assert "Grüße 👋 </b>" in await stage.texts(channel.channel_url)


async def test_joining_twice(stage):
    """Joining a channel again does no harm: the client repeats it when an answer is lost."""
    bot, channel = await stage.bot(), await stage.channel(await stage.user())
    for _ in range(2):
        await stage.platform.join_channels(bot.bot_userid, [channel.channel_url])
    members = [member.user_id async for member in stage.platform.list_members(channel.channel_url)]
    assert members.count(bot.bot_userid) == 1


@pytest.mark.parametrize("everywhere", [False, True])
async def test_bot_leaves(stage, everywhere):
    """A bot that has left is no member any more."""
    bot, channel = await stage.bot(), await stage.channel(await stage.user())
    await stage.platform.join_channels(bot.bot_userid, [channel.channel_url])
    if everywhere:
        await stage.platform.leave_all_channels(bot.bot_userid)
    else:
        await stage.platform.leave_channel(bot.bot_userid, channel.channel_url)
    assert bot.bot_userid not in [
        member.user_id async for member in stage.platform.list_members(channel.channel_url)
    ]


async def test_dedup_id(stage):
    """A message with the dedup_id of an earlier one is not posted, and is no error."""
    bot, channel = await stage.bot(), await stage.channel(await stage.user())
    await stage.platform.join_channels(bot.bot_userid, [channel.channel_url])
    for _ in range(2):
        await stage.platform.send_bot_message(bot.bot_userid, channel.channel_url, "once", dedup_id="d1")
    await stage.platform.send_bot_message(bot.bot_userid, channel.channel_url, "twice", dedup_id="d2")
    assert (await stage.texts(channel.channel_url)).count("once") == 1
    assert (await stage.texts(channel.channel_url)).count("twice") == 1


async def test_user(stage):
    """A user is found and changed; another one's absence is a refusal."""
    user_id = await stage.user()
    user = await stage.platform.get_user(user_id)
    assert (user.user_id, user.nickname, user.is_online, user.is_active) == (user_id, "N", False, True)
    changed = await stage.platform.update_user(user_id, nickname="New")
    assert changed.nickname == "New"
    assert user_id in [each.user_id async for each in stage.platform.list_users(show_bot=False)]
    with pytest.raises(SendbirdRefused) as caught:
        await stage.platform.get_user(user_id + "x")
    assert (caught.value.status, caught.value.code) == (400, NOT_FOUND)


async def test_metadata(stage):
    """A user's metadata is empty at first, then what was set."""
    user_id = await stage.user()
    assert await stage.platform.get_metadata(user_id) == {}
    path = path_of("users", user_id, "metadata")
    await stage.platform.call("POST", path, json={"metadata": {"tier": "gold"}})
    assert await stage.platform.get_metadata(user_id) == {"tier": "gold"}


async def test_channel(stage):
    """A channel is found, with its members if they are asked for; invited users become members."""
    ann, bob = await stage.user(), await stage.user()
    made = await stage.channel(ann)
    channel = await stage.platform.get_channel(made.channel_url)
    assert (channel.channel_url, channel.name, channel.member_count, channel.members) == (
        made.channel_url,
        "C",
        1,
        (),
    )
    assert made.channel_url in [each.channel_url async for each in stage.platform.list_channels()]
    for _ in range(2):  # twice: the client repeats it when an answer is lost
        await stage.platform.invite(made.channel_url, [bob])
    channel = await stage.platform.get_channel(made.channel_url, show_member=True)
    assert {member.user_id for member in channel.members} == {ann, bob}


async def test_pages(stage, monkeypatch):
    """A list in several pages comes back whole, each object once."""
    monkeypatch.setattr(endpoints, "PAGE", 1)
    user_ids = [await stage.user() for _ in range(3)]
    channel = await stage.channel(*user_ids)
    members = [member.user_id async for member in stage.platform.list_members(channel.channel_url)]
    assert sorted(members) == sorted(user_ids)


async def test_unread(stage):
    """A message counts as unread for the others until it is marked as read."""
    ann, bob = await stage.user(), await stage.user()
    channel = await stage.channel(ann, bob)
    sent = await stage.platform.send_message(channel.channel_url, "Hi", user_id=ann)
    assert (sent.type, sent.user.user_id, sent.message) == ("MESG", ann, "Hi")
    assert await stage.platform.unread_counts(channel.channel_url, [ann, bob]) == {ann: 0, bob: 1}
    await stage.platform.mark_as_read(channel.channel_url, bob)
    assert await stage.platform.unread_counts(channel.channel_url, [bob]) == {bob: 0}


async def test_admin_message(stage):
    """A message without a user is an admin message."""
    channel = await stage.channel(await stage.user())
    assert (await stage.platform.send_message(channel.channel_url, "Welcome")).type == "ADMM"


async def test_odd_ids(stage):
    """Ids with characters that mean something in URLs reach the user they belong to."""
    user_id = await stage.user(stage.name("user") + " ü?#&%2F+;=")
    assert (await stage.platform.get_user(user_id)).user_id == user_id


async def test_wrong_token(stage):
    """A wrong token is a refusal that doesn't show it."""
    async with Platform(stage.base_url, "wrong-token") as platform:
        with pytest.raises(SendbirdRefused) as caught:
            await platform.get_user("ann")
    assert caught.value.code == 400401
    assert "wrong-token" not in str(caught.value)
