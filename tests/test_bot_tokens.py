"""Whose token proves a callback: configured, or asked of the API, and for how long that is believed."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from pydantic import SecretStr

from receiver import bot_tokens
from receiver.allowance import Allowance
from receiver.bot_tokens import BotTokens
from receiver.errors import SendbirdError, SendbirdUnavailable
from tests.support import ScriptedApi, scripted_platform

CONFIGURED = {"helper": SecretStr("configured-token")}


@pytest.fixture
def api():
    with ScriptedApi() as server:
        yield server


@pytest.fixture
async def tokens(api):
    async with scripted_platform(api) as platform:
        found = BotTokens(CONFIGURED, platform)
        yield found
        await found.aclose()


async def until(condition):
    """Let the look-ups beside go on until `condition` is true."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved on."""

    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    found = Clock()
    monkeypatch.setattr(bot_tokens, "time", found)
    monkeypatch.setattr(bot_tokens, "Allowance", partial(Allowance, clock=found.monotonic))
    return found


async def test_configured(tokens, api):
    """A configured bot is never looked up."""
    assert await tokens.find("helper") == "configured-token"
    assert api.seen == []


async def test_no_platform():
    """Without an API to ask, only configured bots are known."""
    tokens = BotTokens(CONFIGURED, None)
    assert await tokens.find("helper") == "configured-token"
    assert await tokens.find("stranger") is None


async def test_looked_up_once(clock, tokens, api):
    """A bot's token is asked for once, and again when that is old: beside, while the old one is told."""
    api.bots["asked"] = "its-token"
    assert [await tokens.find("asked") for _ in range(5)] == ["its-token"] * 5
    assert api.seen == ["/v3/bots/asked"]
    api.bots["asked"] = "its-new-token"
    clock.now += bot_tokens.KNOWN_FOR + 1
    api.hanging.clear()
    assert [await tokens.find("asked") for _ in range(5)] == ["its-token"] * 5
    api.hanging.set()
    await until(lambda: not tokens._asking)
    assert await tokens.find("asked") == "its-new-token"
    assert len(api.seen) == 2


async def test_refresh_fails(clock, tokens, api):
    """A bot stays confirmed while the API is away, and is asked for again, but not at every callback."""
    api.bots["asked"] = "its-token"
    await tokens.find("asked")
    api.answers["asked"] = (400, {"error": True, "code": 400401, "message": "Invalid API-Token"})
    clock.now += bot_tokens.KNOWN_FOR + 1
    for round_ in (1, 2):
        for _ in range(3):
            assert await tokens.find("asked") == "its-token"
            await until(lambda: not tokens._asking)
        assert len(api.seen) == 1 + round_
        clock.now += bot_tokens.AGAIN_AFTER + 1


async def test_refresh_finds_it_gone(clock, tokens, api):
    """A confirmed bot that was deleted is refused once that is known."""
    api.bots["asked"] = "its-token"
    await tokens.find("asked")
    del api.bots["asked"]
    clock.now += bot_tokens.KNOWN_FOR + 1
    assert await tokens.find("asked") == "its-token"
    await until(lambda: not tokens._asking)
    assert await tokens.find("asked") is None
    assert len(api.seen) == 2


async def test_made_anew(clock, tokens, api):
    """A caller whose token isn't the known one has it asked for again, at most every 30 s."""
    api.bots["asked"] = "its-token"
    await tokens.find("asked")
    api.bots["asked"] = "its-new-token"
    assert await tokens.find_again("asked") == "its-token"
    clock.now += bot_tokens.AGAIN_AFTER
    found = await asyncio.gather(*(tokens.find_again("asked") for _ in range(50)))
    assert set(found) == {"its-new-token"}
    assert [await tokens.find_again("asked") for _ in range(5)] == ["its-new-token"] * 5
    assert len(api.seen) == 2


async def test_asked_again_of_the_others(tokens, api):
    """Configured bots are never looked up, and unknown ones not more often for a wrong token."""
    assert await tokens.find_again("helper") == "configured-token"
    assert [await tokens.find_again("nobody") for _ in range(5)] == [None] * 5
    assert api.seen == ["/v3/bots/nobody"]


async def test_unknown_is_remembered(clock, tokens, api):
    """That there is no such bot is believed for a while, too, since it may be made any moment."""
    assert [await tokens.find("nobody") for _ in range(5)] == [None] * 5
    assert len(api.seen) == 1
    api.bots["nobody"] = "somebody-now"
    clock.now += bot_tokens.UNKNOWN_FOR + 1
    assert await tokens.find("nobody") == "somebody-now"


async def test_crowd(tokens, api):
    """A hundred callbacks of a new bot at once ask once."""
    api.bots["asked"] = "its-token"
    assert set(await asyncio.gather(*(tokens.find("asked") for _ in range(100)))) == {"its-token"}
    assert len(api.seen) == 1


async def test_strangers_are_limited(clock, tokens, api):
    """Made-up ids are looked up a few a second; beyond that it isn't known who is right."""

    async def refused(first, count):
        ids = [f"made-up-{number}" for number in range(first, first + count)]
        found = await asyncio.gather(*map(tokens.find, ids), return_exceptions=True)
        assert {type(one) for one in found} <= {type(None), SendbirdUnavailable}
        return sum(one is not None for one in found)

    assert await refused(0, 60) == 40
    assert await refused(100, 5) == 5
    clock.now += 2
    assert await refused(200, 60) == 50
    clock.now += 3600
    assert await refused(300, 60) == 40
    assert len(api.seen) == 50
    api.bots["asked"] = "its-token"
    clock.now += 1
    assert await tokens.find("asked") == "its-token"


async def test_flood(clock, tokens, api, monkeypatch):
    """Ten thousand made-up ids in ten seconds cost 70 calls, while a confirmed bot goes on, old or not."""
    monkeypatch.setattr(bot_tokens, "KNOWN_FOR", 1.0)  # it is asked for again meanwhile
    api.bots["asked"] = "its-token"
    assert await tokens.find("asked") == "its-token"
    for hundred in range(100):
        clock.now += 0.1
        ids = [f"made-up-{hundred}-{number}" for number in range(100)]
        found = await asyncio.gather(*map(tokens.find, ids), return_exceptions=True)
        assert {type(one) for one in found} <= {type(None), SendbirdUnavailable}
        assert await tokens.find("asked") == "its-token"
    await until(lambda: not tokens._asking)
    assert sum("made-up" in path for path in api.seen) <= bot_tokens.BURST + 10 * bot_tokens.RATE
    assert api.seen.count("/v3/bots/asked") > 1
    assert len(tokens._unknown) <= bot_tokens.BURST + 10 * bot_tokens.RATE


async def test_familiar(clock, api):
    """A bot that was confirmed once is looked up though strangers have used up their budget."""
    api.bots["old-friend"] = "its-token"
    async with scripted_platform(api) as platform:
        tokens = BotTokens({}, platform, familiar={"old-friend"})
        await asyncio.gather(*(tokens.find(f"made-up-{n}") for n in range(60)), return_exceptions=True)
        with pytest.raises(SendbirdUnavailable):
            await tokens.find("new-friend")
        assert await tokens.find("old-friend") == "its-token"
        await tokens.aclose()


async def test_wrong_tokens_are_limited(clock, tokens, api):
    """Wrong tokens for many confirmed bots have these asked for again, but not more often than the budget."""
    names = [f"bot-{number}" for number in range(30)]
    for name in names:
        api.bots[name] = "its-token"
        clock.now += 1
        await tokens.find(name)
    clock.now += bot_tokens.AGAIN_AFTER
    before = len(api.seen)
    found = await asyncio.gather(*map(tokens.find_again, names), return_exceptions=True)
    assert len(api.seen) - before == bot_tokens.BURST
    assert [type(one) for one in found].count(SendbirdUnavailable) == len(names) - bot_tokens.BURST
    assert await tokens.find(names[-1]) == "its-token"


async def test_one_budget(clock, api):
    """Several applications share the budgets: naming another one gives a stranger nothing."""
    budget = bot_tokens.Budget()
    async with scripted_platform(api) as platform:
        several = [BotTokens({}, platform, budget) for _ in range(3)]
        for tokens in several:
            ids = (f"made-up-{number}" for number in range(30))
            await asyncio.gather(*map(tokens.find, ids), return_exceptions=True)
        for tokens in several:
            await tokens.aclose()
    assert len(api.seen) == bot_tokens.BURST


async def test_other_configured_bots(tokens, api):
    """What is configured can change, and what the API has told is known all the same."""
    api.bots["asked"] = "its-token"
    await tokens.find("asked")
    tokens.configure({"another": SecretStr("another-token")})
    assert await tokens.find("another") == "another-token"
    assert await tokens.find("helper") is None
    assert await tokens.find("asked") == "its-token"
    assert api.seen == ["/v3/bots/asked", "/v3/bots/helper"]


async def test_strangers_do_not_count_as_known(clock, tokens, api, monkeypatch):
    """However many ids are made up, a confirmed bot stays confirmed."""
    monkeypatch.setattr(bot_tokens, "MOST", 3)
    api.bots["asked"] = "its-token"
    await tokens.find("asked")
    for number in range(10):
        await tokens.find(f"made-up-{number}")
    assert await tokens.find("asked") == "its-token"
    assert await tokens.find("made-up-9") is None
    assert len(api.seen) == 11
    assert await tokens.find("made-up-0") is None
    assert len(api.seen) == 12


async def test_impatient_caller(tokens, api):
    """A caller who goes away takes the answer from nobody else who waits for it."""
    api.bots["asked"] = "its-token"
    api.hanging.clear()
    first, second = (asyncio.create_task(tokens.find("asked")) for _ in range(2))
    await until(lambda: api.seen)
    first.cancel()
    api.hanging.set()
    assert await second == "its-token"
    assert len(api.seen) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 400401), (400, 400108), (400, 400910), (403, 400108), (404, 0), (429, 500910), (500, 500901)],
)
async def test_other_refusals(tokens, api, status, code):
    """Only "not found" means that there is no such bot: any other error leaves it open, and is not kept."""
    api.answers["asked"] = (status, {"error": True, "message": "no", "code": code})
    with pytest.raises(SendbirdError):
        await tokens.find("asked")
    del api.answers["asked"]
    api.bots["asked"] = "its-token"
    assert await tokens.find("asked") == "its-token"


@pytest.mark.parametrize(
    "answer", [{}, {"bot": {}}, {"bot": {"bot_token": ""}}, {"bot": {"bot_token": None}}]
)
async def test_no_token_told(tokens, api, answer):
    """A bot whose token isn't told has none: not an empty one."""
    api.answers["asked"] = (200, answer)
    assert await tokens.find("asked") is None


@pytest.mark.parametrize("userid", ["a/b", "a?b=c", "%2e", "ü", "a b", "../users/x", "x" * 80])
async def test_odd_ids(tokens, api, userid):
    """Whatever an id is made of, it stays one segment of the path."""
    api.bots[userid] = "its-token"
    assert await tokens.find(userid) == "its-token"
    assert len(api.seen) == 1


@pytest.mark.parametrize("userid", [".", "..", "x" * 101, "x" * 1_000_000])
async def test_impossible_ids(tokens, api, userid):
    """An id that can't be one is unknown without asking."""
    assert await tokens.find(userid) is None
    assert api.seen == []


async def test_forgets_before_memory_fills(tokens, api, monkeypatch):
    """Made-up ids don't pile up."""
    monkeypatch.setattr(bot_tokens, "MOST", 3)
    for number in range(10):
        await tokens.find(f"made-up-{number}")
    assert len(tokens._unknown) <= 3


async def test_api_away(tokens, api):
    """While the API is away nothing is known, and nothing is kept of that."""
    api.away = True
    with pytest.raises(SendbirdUnavailable):
        await tokens.find("asked")
    api.away = False
    api.bots["asked"] = "its-token"
    assert await tokens.find("asked") == "its-token"


async def test_api_hangs(tokens, api, monkeypatch):
    """An API that doesn't answer is given up before Sendbird gives us up, by those who wait in line, too."""
    monkeypatch.setattr(bot_tokens, "PATIENCE", 0.05)
    api.hanging.clear()
    found = await asyncio.gather(tokens.find("asked"), tokens.find("other"), return_exceptions=True)
    assert [str(error) for error in found] == ["no answer within 0.05 s"] * 2
    assert all(isinstance(error, SendbirdUnavailable) for error in found)
    api.hanging.set()
    api.bots["asked"] = "its-token"
    monkeypatch.setattr(bot_tokens, "PATIENCE", 30.0)
    assert await tokens.find("asked") == "its-token"


async def test_tokens_stay_out_of_logs(tokens, api):
    """No repr shows a token."""
    api.bots["asked"] = "its-token"
    await tokens.find("asked")
    assert "its-token" not in repr(vars(tokens))
    assert "configured-token" not in repr(vars(tokens))
