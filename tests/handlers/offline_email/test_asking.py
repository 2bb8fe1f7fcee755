"""What Sendbird is asked, and what its answers mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handlers.offline_email.asking import BOTS_KNOWN_FOR, LATEST, PAGE, Bots, as_they_are, unread
from receiver import MessageSent, SendbirdRefused, SendbirdUnavailable
from receiver.testing import make_event

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


class Sendbird:
    """Answers as it is told, and notes what it was asked. (The real shapes are tried with the sandbox.)"""

    def __init__(self, answer=None, *, bots=(), fails=None):
        self.answer = answer
        self.bots = bots
        self.fails = fails
        self.asked = []

    async def call(self, method, path, *, params):
        self.asked.append((method, path, params))
        if self.fails:
            raise self.fails
        return self.answer

    async def unread_counts(self, channel_url, user_ids):
        if self.fails:
            raise self.fails
        return self.answer

    async def list_bots(self):
        self.asked.append("bots")
        if self.fails:
            raise self.fails
        for userid in self.bots:
            yield type("Bot", (), {"bot_userid": userid})


def message(number, **options):
    return make_event(
        MessageSent, channel="a/b", message_id=number, text=f"text {number}", at=at(number), **options
    )


def at(number):
    return NOON + timedelta(seconds=number)


def listed(number, text):
    return {"message_id": number, "message": text, "created_at": int(at(number).timestamp() * 1000)}


async def test_texts_now():
    """Of each message there is its text now, or None where it is gone; others' messages don't matter."""
    sendbird = Sendbird({"messages": [listed(1, "changed"), listed(3, "text 3"), listed(4, "another's")]})
    now = await as_they_are(sendbird, [message(1), message(2), message(3)])
    assert now == {1: "changed", 2: None, 3: "text 3"}
    [(method, path, params)] = sendbird.asked
    assert (method, path) == ("GET", "/group_channels/a%2Fb/messages")
    assert params["message_ts"] == int(at(1).timestamp() * 1000)
    assert (params["prev_limit"], params["next_limit"]) == (0, PAGE)


async def test_full_page():
    """Of what comes after a full page nothing is known; what is missing in it is gone."""
    page = [listed(1000 + number, "another's") for number in range(PAGE)]
    sendbird = Sendbird({"messages": page})
    now = await as_they_are(sendbird, [message(1000 - 1), message(1000 + PAGE)])
    assert now == {999: None}


async def test_latest():
    """Only the latest messages are asked about."""
    many = [message(number) for number in range(1, LATEST + 11)]
    sendbird = Sendbird({"messages": []})
    now = await as_they_are(sendbird, many)
    assert set(now) == set(range(11, LATEST + 11))
    assert sendbird.asked[0][2]["message_ts"] == int(at(11).timestamp() * 1000)


@pytest.mark.parametrize("answer", [{}, {"messages": None}, {"messages": "x"}])
async def test_odd_answers(answer):
    """An answer that can't be read says nothing."""
    assert await as_they_are(Sendbird(answer), [message(1)]) == {}


async def test_odd_messages():
    """An odd message in an answer is passed over; one without a text has the one it had."""
    odd = [None, 3, {}, {"message_id": "x"}, {"message_id": 1, "message": None}]
    assert await as_they_are(Sendbird({"messages": odd}), [message(1)]) == {}


async def test_2016():
    """Messages without ids aren't asked about."""
    sendbird = Sendbird(fails=AssertionError("asked"))
    assert await as_they_are(sendbird, [make_event(MessageSent, case="mesg-2016")]) == {}


async def test_refused():
    """What Sendbird refuses to list is unknown, and a channel that it refuses is left out."""
    sendbird = Sendbird(fails=SendbirdRefused("no"))
    assert await as_they_are(sendbird, [message(1)]) == {}
    assert await unread(sendbird, "ada", ["c1", "c2"]) == {}


async def test_unavailable():
    """Where Sendbird can't say now, the attempt fails: there is another one."""
    sendbird = Sendbird(fails=SendbirdUnavailable("busy"))
    for question in (as_they_are(sendbird, [message(1)]), unread(sendbird, "ada", ["c1"])):
        with pytest.raises(SendbirdUnavailable):
            await question
    with pytest.raises(SendbirdUnavailable):
        await Bots().knows("ada", sendbird)


@pytest.mark.parametrize(("answer", "count"), [({"ada": 3}, 3), ({}, 0), ({"ada": -1}, 0), ({"bo": 3}, 0)])
async def test_unread(answer, count):
    """A reader of whom nothing is said has read everything."""
    assert await unread(Sendbird(answer), "ada", ["c1"]) == {"c1": count}


async def test_bots():
    """The list of bots is asked for once in ten minutes."""
    now = [0.0]
    bots, sendbird = Bots(lambda: now[0]), Sendbird(bots=["robot"])
    assert [await bots.knows(one, sendbird) for one in ("robot", "ada")] == [True, False]
    assert len(sendbird.asked) == 1
    now[0] = BOTS_KNOWN_FOR
    sendbird.bots = ["ada"]
    assert await bots.knows("ada", sendbird)
    assert len(sendbird.asked) == 2


async def test_bots_refused():
    """Where the token may not list bots, nobody is known to be one, and that is asked no more for a while."""
    bots, sendbird = Bots(), Sendbird(fails=SendbirdRefused("no"))
    assert [await bots.knows("robot", sendbird) for _ in range(3)] == [False] * 3
    assert len(sendbird.asked) == 1
