"""The helper bot on the real road: threads are held in order, through drains that die."""

from __future__ import annotations

import asyncio

import orjson
import pytest

import handlers.helper_bot as plugin
from handlers.helper_bot.helper import Helper
from handlers.helper_bot.library import Library
from handlers.helper_bot.settings import Settings
from receiver import samples
from receiver.errors import Fenced
from receiver.pipeline import keys
from tests.handlers.chat import START
from tests.handlers.test_helper_bot_threads import FAQ, PLANS, TERMS
from tests.pipeline.conftest import Road

TURNS = [
    ("ann", "how much does it cost?", f"Without tax.\n\n{PLANS}"),
    ("ben", "prices", f"Without tax.\n\n{PLANS}"),
    ("ann", "the team plan", f"Ann: {TERMS}"),
    ("ben", "blue", f"Ben: I didn't understand that. {PLANS}"),
    ("ben", "2", f"Ben: {TERMS}"),
    ("ann", "2", "Ann: 100 a year."),
    ("ben", "month", "Ben: 10 a month."),
    ("ann", "/cancel", "There is nothing to leave."),
    ("ann", "prices", f"Without tax.\n\n{PLANS}"),
    ("ben", "1", None),
    ("ann", "free", "Ann: It costs nothing."),
]
ANSWERS = [answer for _, _, answer in TURNS if answer]


class Sendbird:
    """Stands for Sendbird: posts a message of a known `dedup_id` once. The call `hangs_at` never returns."""

    def __init__(self) -> None:
        self.posted: dict[str, str] = {}
        self.calls = 0
        self.hangs_at = 0
        self.posts_first = True
        self.hanging = asyncio.Event()

    async def send_bot_message(
        self, bot_userid: str, channel_url: str, message: str, *, dedup_id: str
    ) -> None:
        self.calls += 1
        hangs = self.calls == self.hangs_at
        if not hangs or self.posts_first:
            self.posted.setdefault(dedup_id, message)
        if hangs:
            self.hanging.set()
            await asyncio.Event().wait()


@pytest.fixture
async def road(client, blocking, monkeypatch, tmp_path):
    """A road to the helper bot, with a Sendbird at its end."""
    path = tmp_path / "faq.yaml"
    path.write_text(FAQ)
    monkeypatch.setattr(plugin, "helper", Helper(plugin.bot, Library(path), Settings.load(limit=100)))
    road = Road(client, blocking)
    road.handlers = plugin.handlers
    road.sendbird = Sendbird()
    return road


async def say(road, number: int, user: str, text: str) -> str:
    """Have the bot told what a user says; return the event's id."""
    payload = samples.find("bot_message_notification", case="plain").payload
    samples.refresh(payload, (START + number) * 1000)
    payload["message"]["text"] = text
    payload["sender"] = {"user_id": user, "nickname": user.title()}
    category = payload.pop("category")
    return await road.append("c/1", category=category, received=number + 1, **payload)


async def test_together(road):
    """Messages that are taken together are answered as if they had come one by one."""
    for number, (user, text, _) in enumerate(TURNS):
        await say(road, number, user, text)
    await road.dispatch()
    await road.drain()
    assert list(road.sendbird.posted.values()) == ANSWERS


async def test_one_by_one(road):
    """A thread goes on in the next drain, whoever runs it."""
    for number, (user, text, _) in enumerate(TURNS):
        await say(road, number, user, text)
        await road.dispatch()
        await road.drain()
    assert list(road.sendbird.posted.values()) == ANSWERS


@pytest.mark.parametrize("posts_first", [True, False])
@pytest.mark.parametrize("at", range(1, 8))
async def test_taken_over(road, at, posts_first):
    """A drain that loses its lane in the middle of an answer loses no answer, and doubles none."""
    sendbird = road.sendbird
    sendbird.hangs_at, sendbird.posts_first = at, posts_first
    for number, (user, text, _) in enumerate(TURNS):
        await say(road, number, user, text)
    await road.dispatch()
    [lane] = await road.lanes()
    first, second = road.drain_of(lane), road.drain_of(lane)
    assert await first.begin()
    draining = asyncio.create_task(first.run())
    async with asyncio.timeout(20):
        await sendbird.hanging.wait()
    await road.client.delete(keys.lane(lane, "owner"))  # as if its lease had run out
    assert await second.begin()
    await second.run()
    with pytest.raises(Fenced):
        await draining
    assert list(sendbird.posted.values()) == ANSWERS
    assert sendbird.calls > len(ANSWERS)
    state = orjson.loads(await road.client.get(keys.state("helper_bot", "c/1")))
    assert not any("thread" in person for person in state["people"].values())


async def test_bots(road):
    """What a bot says is skipped."""
    road.bots = frozenset({"shop_bot"})
    skipped = [
        await say(road, 0, "shop_bot", "@helper_bot hello"),
        await say(road, 1, "helper_bot", "prices"),
    ]
    await road.dispatch()
    await road.drain()
    assert [(await road.delivery(one)).status for one in skipped] == ["skipped", "skipped"]
    assert road.sendbird.posted == {}
