"""What Sendbird is asked, and what its answers mean."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from handlers.offline_email.asking import (
    BOTS_KNOWN_FOR,
    LATEST,
    PAGE,
    Bots,
    as_they_are,
    members,
    metadata,
    unread,
)
from handlers.offline_email.said import Said
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

    async def get_metadata(self, user_id):
        raise self.fails

    async def list_members(self, channel_url):
        raise self.fails
        yield

    async def list_bots(self):
        self.asked.append("bots")
        if self.fails:
            raise self.fails
        for userid in self.bots:
            yield type("Bot", (), {"bot_userid": userid})


def message(number, **options):
    return Said.read(
        make_event(
            MessageSent, channel="a/b", message_id=number, text=f"text {number}", at=at(number), **options
        )
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
    assert params["message_ts"] == int(at(1).timestamp() * 1000) - 1000
    assert params["include_reply_type"] == "ALL"
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
    assert sendbird.asked[0][2]["message_ts"] == int(at(11).timestamp() * 1000) - 1000


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
    assert await as_they_are(sendbird, [Said.read(make_event(MessageSent, case="mesg-2016"))]) == {}


async def test_refused():
    """Of a channel that is gone nothing is known, and it is left out."""
    sendbird = Sendbird(fails=SendbirdRefused("no", status=400, code=400201))
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


async def test_bots_not_found():
    """Where there is no list of bots, nobody is known to be one, and that is asked no more for a while."""
    bots, sendbird = Bots(), Sendbird(fails=SendbirdRefused("no", code=400201))
    assert [await bots.knows("robot", sendbird) for _ in range(3)] == [False] * 3
    assert len(sendbird.asked) == 1


@pytest.mark.parametrize(("status", "code"), [(401, 400401), (403, 0), (403, 400108), (400, 400111)])
@pytest.mark.parametrize(
    "ask",
    [
        lambda sendbird: unread(sendbird, "ada", ["c1"]),
        lambda sendbird: as_they_are(sendbird, [message(1)]),
        lambda sendbird: members(sendbird, "c1", 10),
        lambda sendbird: metadata(sendbird, "ada"),
        lambda sendbird: Bots().knows("ada", sendbird),
    ],
)
async def test_wrong_token(ask, status, code):
    """A refusal that isn't about something gone is told: a wrong token must not lose mails in silence."""
    with pytest.raises(SendbirdRefused):
        await ask(Sendbird(fails=SendbirdRefused("no", status=status, code=code)))


async def test_no_member():
    """A channel that the reader may not look into any more is left out."""
    sendbird = Sendbird(fails=SendbirdRefused("no", status=400, code=400108))
    assert await unread(sendbird, "ada", ["c1"]) == {}


async def test_replies():
    """A reply in a thread that isn't listed isn't taken for deleted."""
    reply = message(2, raw={"payload.parent_message_id": 1})
    assert reply.parent_message_id == 1
    assert await as_they_are(Sendbird({"messages": []}), [message(1), reply]) == {1: None}


async def test_time_of_the_list():
    """Lists go by when a message was made, not by when the webhook was sent."""
    made = int(at(1).timestamp() * 1000)
    sendbird = Sendbird({"messages": []})
    await as_they_are(sendbird, [message(1, raw={"payload.created_at": made, "ts": made + 9000})])
    assert sendbird.asked[0][2]["message_ts"] == made - 1000


async def test_bots_at_once():
    """Several who ask at once make one list."""
    bots, sendbird = Bots(), Sendbird(bots=["robot"])
    assert await asyncio.gather(*(bots.knows("robot", sendbird) for _ in range(5))) == [True] * 5
    assert len(sendbird.asked) == 1


def test_said_forgets():
    """A message that was read keeps no parsed body; it is parsed again when it is looked into."""
    event = make_event(MessageSent, text="hi", members=["ada"])
    assert event.members
    said = Said.read(event)
    assert not {"raw", "members", "channel"} & set(vars(event))
    assert (said.text, event.text) == ("hi", "hi")
    assert "ada" in [member.user_id for member in event.members]
