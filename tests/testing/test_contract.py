"""The contract finds what it is there to find: each plugin here breaks one promise, on purpose."""

from __future__ import annotations

import asyncio
import os
from types import MappingProxyType

import pytest
from _pytest.outcomes import Failed, Skipped

from receiver import Handlers, Permanent, PluginSettings
from receiver.mail.message import Mail
from receiver.testing import HandlersContract
from receiver.testing import contract as contract_module
from receiver.testing.cases import cases_of, strange_cases
from receiver.testing.contract import FAULTS

CATEGORY = "group_channel:message_send"


def broken(handlers, **knobs):
    """Return which of the contract's tests fail for these handlers, with the first failure's message."""
    contract = type("TestIt", (HandlersContract,), {"handlers": handlers, **knobs})()
    found = {}

    def attempt(name, test, *arguments):
        try:
            test(*arguments)
        except (AssertionError, Failed) as error:
            found.setdefault(name, str(error))
        except Skipped:
            pass

    attempt("cases", contract.test_cases)
    attempt("ends_well", contract.test_ends_well)
    attempt("out_of_order", contract.test_out_of_order)
    for case in cases_of([handlers]):
        for name in ("survives", "strange_values", "repeated", "cut_off"):
            attempt(name, getattr(contract, f"test_{name}"), case)
        for fault in FAULTS:
            attempt(f"failing_call {fault}", contract.test_failing_call, case, fault)
    return found


@pytest.fixture
def handlers():
    return Handlers("plugin")


def test_a_good_one(handlers):
    """A plugin that does everything right keeps it: replies, mails, messages, state, batches."""
    handlers.bot("cake_bot").message()(lambda event, context: f"{event.text}?")

    @handlers.on(CATEGORY, type="FILE")
    async def gather(event, context):
        state = await context.state()
        state["files"] = state.get("files", 0) + 1
        await context.gather(digest, "all")

    @handlers.collect(quiet=60, longest=600, most=5)
    async def digest(batch, context):
        await context.mailer.send(Mail(to="ana@example.com", subject="Files", text=str(len(batch.events))))
        channel_url = batch.events[0].channel.channel_url
        if channel_url:
            await context.sendbird.send_message(channel_url, "Files!", dedup_id=batch.id)

    assert broken(handlers) == {}


def test_unexpected_errors(handlers):
    """A handler that takes for granted what may be missing fails, with the fixture's name and advice."""

    @handlers.on(CATEGORY)
    async def fail(event, context):
        context.log.info(event.sender.nickname)

    found = broken(handlers)
    assert {"survives", "strange_values", "out_of_order"} <= set(found)
    assert f"{CATEGORY}/admm: plugin.fail raised AttributeError." in found["survives"]
    assert "check for None (event.sender of an admin message)" in found["survives"].replace("\n", " ")


def test_strange_values(handlers):
    """A handler that survives the fixtures and not a strange value is found by that."""

    @handlers.on(CATEGORY, type="MESG")
    async def measure(event, context):
        context.log.info(event.text.split()[0])

    found = broken(handlers)
    assert set(found) == {"strange_values"}
    assert "(texts: empty): plugin.measure raised IndexError." in found["strange_values"]


def test_doubled_messages(handlers):
    """A message that a second attempt sends again is found, by the repeat and by the lost answer."""

    @handlers.on(CATEGORY, type="FILE")
    async def send(event, context):
        if event.sender and event.channel.channel_url:
            await context.sendbird.send_message(event.channel.channel_url, "hi")

    found = broken(handlers)
    assert set(found) == {"repeated", "failing_call loses the answer"}
    assert "the second attempt did this again: POST /group_channels" in found["repeated"]
    assert "context.once" in found["repeated"]
    assert "this happened too often" in found["failing_call loses the answer"]


def test_swallowed_errors(handlers):
    """A handler that catches what it should let pass loses an effect."""

    @handlers.on(CATEGORY, type="FILE")
    async def swallow(event, context):
        async with context.once("send") as first:
            try:
                if first and event.channel.channel_url:
                    dedup_id = f"hi-{event.id}"
                    await context.sendbird.send_message(event.channel.channel_url, "hi", dedup_id=dedup_id)
            except Exception:
                context.log.warning("never mind")

    found = broken(handlers)
    assert set(found) == {"failing_call answers 503", "failing_call is away"}
    assert "this did not happen: POST /group_channels" in found["failing_call is away"]
    assert "let it pass" in found["failing_call is away"]


def test_giving_up(handlers):
    """A handler that gives up at the first failure ends in a dead letter."""

    @handlers.on(CATEGORY, type="FILE")
    async def give_up(event, context):
        try:
            await context.sendbird.send_message("group_lakeside_bakery", "hi", dedup_id=f"hi-{event.id}")
        except Exception as error:
            raise Permanent("no") from error

    found = broken(handlers)
    assert set(found) == set(map("failing_call {}".format, FAULTS))
    assert "plugin.give_up ended dead, not done" in found["failing_call is away"]


def test_giving_up_is_fine_without_retries(handlers):
    """Who asks for no retries is not blamed for having none."""

    @handlers.on(CATEGORY, type="FILE", retries=0)
    async def once(event, context):
        await context.sendbird.send_message("group_lakeside_bakery", "hi", dedup_id=f"hi-{event.id}")

    assert broken(handlers) == {}


def test_always_giving_up(handlers):
    """A handler that gives up each event shows nothing, and is told so; unless it says why."""

    @handlers.on(CATEGORY, type="FILE")
    async def never(event, context):
        raise Permanent("the scene is not set")

    @handlers.on(CATEGORY, type="FILE")
    async def well(event, context):
        pass

    found = broken(handlers)
    assert set(found) == {"ends_well"}
    assert "no event at all ends well, each is a dead letter" in found["ends_well"]
    assert "plugin.never: dead (Permanent: the scene is not set)" in found["ends_well"]
    assert "plugin.well" not in found["ends_well"]
    assert broken(handlers, skip={"ends_well/plugin.never": "it counts what is refused"}) == {}


@pytest.mark.parametrize(("test", "what"), [("cut_off", "awaits"), ("failing_call", "outside calls")])
def test_too_many_points(handlers, monkeypatch, test, what):
    """What is left out, as there are too many points to fail at, is told."""
    monkeypatch.setattr(contract_module, "MOST_POINTS", 2)

    @handlers.on(CATEGORY, type="MESG")
    async def many(event, context):
        for number in range(3):
            await asyncio.sleep(0)
            await context.sendbird.send_message("group_lakeside_bakery", "hi", dedup_id=f"{event.id}{number}")

    contract = type("TestIt", (HandlersContract,), {"handlers": handlers})()
    case = next(case for case in cases_of([handlers]) if case.name.endswith("/mesg-members"))
    arguments = ["answers 503"] if test == "failing_call" else []
    with pytest.warns(UserWarning, match=f"mesg-members: there are more than 2 {what}"):
        getattr(contract, f"test_{test}")(case, *arguments)


def test_not_to_be_cut_off(handlers):
    """A handler that is confused by its own half-done work is found by being cut off."""
    begun = set()

    @handlers.on(CATEGORY, type="FILE")
    async def confused(event, context):
        if event.id in begun:
            raise ValueError("it has begun")
        begun.add(event.id)
        await asyncio.sleep(0)
        begun.discard(event.id)

    found = broken(handlers)
    assert set(found) == {"cut_off"}
    assert "plugin.confused raised ValueError" in found["cut_off"]


def test_every_await_is_a_point(handlers):
    """An attempt is cut off at each of its awaits in turn, and once it isn't, that is the end."""
    reached = []

    @handlers.on(CATEGORY, type="MESG", sender="ana")
    async def steps(event, context):
        try:
            for step in range(3):
                await asyncio.sleep(0)
                reached.append(step)
            reached.append("end")
        except asyncio.CancelledError:
            reached.append("cut off")
            raise

    case = cases_of([handlers])[0]
    type("TestIt", (HandlersContract,), {"handlers": handlers})().test_cut_off(case)
    whole = [0, 1, 2, "end"]
    cut = [[*range(step), "cut off", *whole] for step in range(3)]
    startup = whole  # which it was cut off at before the handler began
    assert reached == [*whole, *startup, *(one for run in cut for one in run), *whole]


def test_nothing_reaches_it(handlers):
    """A plugin that no fixture reaches is told so: nothing else would show anything."""
    handlers.on("user:tomorrow", name="early")(lambda event, context: None)
    found = broken(handlers)
    assert set(found) == {"cases"}
    assert "no fixture reaches these handlers" in found["cases"]


def test_no_handlers():
    """A contract without handlers says what is missing."""
    contract = type("TestIt", (HandlersContract,), {})()
    with pytest.raises(Failed, match="TestIt says no `handlers = "):
        contract.test_cases()


def test_skipping(handlers):
    """What is skipped says why; a reason is needed."""

    @handlers.on(CATEGORY, type="MESG")
    async def fail(event, context):
        raise ValueError

    assert set(broken(handlers)) - set(broken(handlers, skip={"survives/*": "known"})) == {"survives"}
    contract = type(
        "TestIt", (HandlersContract,), {"handlers": handlers, "skip": {"survives/*/mesg": "known"}}
    )()
    cases = {case.name: case for case in cases_of([handlers])}
    with pytest.raises(Skipped, match="known"):
        contract.test_survives(cases[f"{CATEGORY}/mesg"])
    with pytest.raises(AssertionError, match="raised ValueError"):
        contract.test_survives(cases[f"{CATEGORY}/mesg-2016"])
    contract = type("TestIt", (HandlersContract,), {"handlers": handlers, "skip": {"*": ""}})()
    with pytest.raises(Failed, match="says no reason"):
        contract.test_survives(cases[f"{CATEGORY}/mesg"])


class Settings(PluginSettings, env_prefix="CAKE_"):
    name: str = "nobody"


class TestKnobs(HandlersContract):
    """Settings, environment and the scene are as the class says: the handler sees to it."""

    handlers = Handlers("knobs", settings=Settings)
    settings = MappingProxyType({"name": "ana"})
    environment = MappingProxyType({"CAKE_COLOUR": "brown"})

    async def prepare(self, stage):
        await stage.sendbird.call(
            "POST", "/users", json={"user_id": "cook", "nickname": "", "profile_url": ""}
        )

    @staticmethod
    @handlers.on("group_channel:join")
    async def check(event, context):
        await context.sendbird.get_user("cook")
        assert TestKnobs.handlers.settings.name == "ana"
        assert os.environ["CAKE_COLOUR"] == "brown"


def test_cases(handlers):
    """The fixtures are adapted to what the handlers want: their bots, senders and custom types."""
    bot = handlers.bot("cake_bot")
    bot.command("/bake")(lambda event, context, words: None)
    handlers.on(CATEGORY, sender="ana", custom_type="support", type="FILE", name="files")(lambda e, c: None)
    cases = {case.name: case for case in cases_of([handlers])}
    assert cases["bot_message_notification/mention for cake_bot"].body["mentioned"] == ["cake_bot"]
    assert (
        cases["bot_message_notification/command for cake_bot: /bake some words"].make().text
        == "/bake some words"
    )
    files = [case for name, case in cases.items() if name.startswith(CATEGORY)]
    assert {case.make().sender.user_id for case in files} == {"ana"}
    assert {case.body["channel"]["custom_type"] for case in files} == {"support"}
    assert {case.make().type for case in files} == {"FILE"}


def test_strange_ones(handlers):
    """Strange versions differ from the event, each in another way, and leave it as it was."""
    handlers.on(CATEGORY, name="all")(lambda event, context: None)
    case = next(case for case in cases_of([handlers]) if case.name.endswith("/mesg-members"))
    before = dict(case.body)
    strange = list(strange_cases(case))
    assert case.body == before
    assert len({one.name for one in strange}) == len(strange) > 30
    assert all(one.body != case.body for one in strange)
    members = [one.body["members"] for one in strange if isinstance(one.body.get("members"), list)]
    assert max(map(len, members)) == 10_000
