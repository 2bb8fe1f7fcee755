"""The stage: handlers run on it as they do in the receiver."""

from __future__ import annotations

import asyncio
import threading
import time
import types
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import Field

from receiver import BotMessage, Handlers, MessageSent, Permanent, PluginSettings, SendbirdUnavailable
from receiver.errors import PluginError, SettingsError
from receiver.testing import Clock, Stage, make_event, run


class Settings(PluginSettings, env_prefix="GREETER_"):
    greeting: str = Field("Hello")


@pytest.fixture
def handlers():
    return Handlers("greeter", settings=Settings)


@pytest.fixture
def seen(handlers):
    """Note the texts of the messages that a handler gets; "boom" makes it fail."""
    seen = []

    @handlers.on("group_channel:message_send", retries=2)
    async def note(event, context):
        seen.append(event.text)
        if event.text.startswith("boom"):
            raise ValueError(event.text)

    return seen


async def test_three_lines(handlers):
    """A bot's reply is tested in three lines."""
    bot = handlers.bot("gif_bot")

    @bot.command("/gif")
    async def gif(event, context, words):
        return f"{words}.gif"

    outcome = await run(handlers, BotMessage, text="/gif cats", bot="gif_bot")
    outcome.assert_replied("cats.gif")
    assert outcome.replies == ["cats.gif"]
    [reply] = outcome.replies
    assert (reply.bot, reply.channel) == ("gif_bot", outcome.event.channel.channel_url)
    assert len(reply.dedup_id) == 32


async def test_the_handlers_own_bot(handlers):
    """A message for a bot is for the handlers' first one where nothing else is said."""
    handlers.bot("gif_bot").message()(lambda event, context: event.text)
    assert (await run(handlers, BotMessage, text="hi")).replies == ["hi"]
    assert (await run(handlers, BotMessage, text="hi", bot="other")).replies == []


async def test_a_failing_handler_raises(handlers, seen):
    """What a handler raises is raised in the test, the very exception; or caught, if it is to be."""
    with pytest.raises(ValueError, match="boom") as caught:
        await run(handlers, MessageSent, text="boom")
    assert caught.traceback[-1].name == "note"
    outcome = await run(handlers, MessageSent, text="boom", catch=True)
    assert outcome.status == {"greeter.note": "failed"}
    assert isinstance(outcome.error, ValueError)


async def test_all_that_want_it(handlers, seen):
    """Every handler that wants the event gets it: by category, type, sender, custom type, and `where`."""
    got = []

    def note(name, **options):
        handlers.on("group_channel:message_send", name=name, **options)(
            lambda event, context: got.append(name)
        )

    note("all")
    note("files", type="FILE")
    note("ana", sender="ana")
    note("orders", custom_type="orders")
    note("never", where=lambda event: False)
    outcome = await run(handlers, MessageSent, sender="ana")
    assert sorted(got) == ["all", "ana", "orders"]
    assert outcome.status["greeter.never"] == "skipped"
    assert "greeter.files" not in outcome.status
    outcome.assert_skipped("never")


async def test_one_handler(handlers, seen):
    """One handler alone can be given the event."""
    handlers.on("*", name="other")(lambda event, context: seen.append("other"))
    outcome = await run(handlers, MessageSent, handler="note", text="hi")
    assert (seen, list(outcome.status)) == (["hi"], ["greeter.note"])
    with pytest.raises(LookupError, match=r"no handler 'nobody'\. There are: greeter\.note, greeter\.other"):
        await run(handlers, MessageSent, handler="nobody")


async def test_plain_functions_run_in_threads(handlers):
    """A plain `def` runs in a thread."""
    threads = []
    handlers.on("*", name="plain")(lambda event, context: threads.append(threading.current_thread()))
    await run(handlers, MessageSent)
    assert threads != [threading.main_thread()]


async def test_timeout(handlers):
    """A handler that takes too long fails with a TimeoutError that names it."""

    @handlers.on("*", timeout=0.01)
    async def slow(event, context):
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError, match=r"greeter\.slow did not end within 0\.01 s"):
        await run(handlers, MessageSent)


async def test_startup_and_shutdown(handlers, seen):
    """Startup runs once before the first attempt, shutdown when the stage is closed, on the same loop."""
    order: list[Any] = []
    handlers.startup(lambda: order.append("startup"))
    handlers.shutdown(lambda: order.append("shutdown"))
    async with Stage(handlers) as stage:
        assert order == []
        await stage.send(MessageSent)
        await stage.send(MessageSent)
        assert order == ["startup"]
    assert order == ["startup", "shutdown"]
    await stage.aclose()
    assert order == ["startup", "shutdown"]


async def test_settings(handlers, monkeypatch):
    """A stage gives the plugin's settings values of its own, and takes them back."""
    handlers.on("*", name="greet")(lambda event, context: said.append(handlers.settings.greeting))
    said = []
    assert handlers.settings.greeting == "Hello"
    monkeypatch.setenv("GREETER_GREETING", "Moi")
    await run(handlers, MessageSent)
    await run(handlers, MessageSent, settings={"greeting": "Hei"})
    await run(handlers, MessageSent)
    assert said == ["Moi", "Hei", "Moi"]
    with pytest.raises(SettingsError):
        Stage(handlers, settings={"greeting": 12})
    with pytest.raises(PluginError, match="settings are for one plugin"):
        Stage(Handlers("none"), settings={"greeting": "x"})


async def test_modules(handlers, seen):
    """A stage takes a module, and several things at once; what holds no handlers is an error."""
    module = types.ModuleType("plugin")
    module.handlers = handlers
    outcome = await run(module, MessageSent)
    assert outcome.status == {"greeter.note": "done"}
    other = Handlers("other")
    other.on("*", name="all")(lambda event, context: None)
    assert set((await run([module, other], MessageSent)).status) == {"greeter.note", "other.all"}
    with pytest.raises(PluginError, match="no Handlers object"):
        Stage(types.ModuleType("empty"))
    with pytest.raises(PluginError, match="expected a Handlers object"):
        Stage(["greeter"])


async def test_state(handlers):
    """State is kept between events of one conversation, and only where the attempt succeeds."""

    @handlers.on("group_channel:message_send")
    async def count(event, context):
        state = await context.state()
        state["seen"] = state.get("seen", 0) + 1
        if event.text == "boom":
            raise Permanent("no")

    async with Stage(handlers) as stage:
        assert (await stage.send(MessageSent, channel="c1")).state == {"seen": 1}
        assert (await stage.send(MessageSent, channel="c2")).state == {"seen": 1}
        await stage.send(MessageSent, channel="c1", text="boom", catch=True)
        assert (await stage.send(MessageSent, channel="c1")).state == {"seen": 2}


async def test_states_of_several(handlers):
    """Where several handlers remember something, each is asked by its name."""
    for name in ("one", "two"):

        async def remember(event, context, name=name):
            (await context.state())["name"] = name

        handlers.on("*", name=name)(remember)
    outcome = await run(handlers, MessageSent)
    assert outcome.states == {"greeter.one": {"name": "one"}, "greeter.two": {"name": "two"}}
    with pytest.raises(LookupError, match=r"greeter\.one, greeter\.two"):
        _ = outcome.state


async def test_retries_wait_for_the_clock(handlers, seen):
    """A failed attempt runs again when its wait is over, and ends in a dead letter after the last one."""
    async with Stage(handlers) as stage:
        await stage.send(MessageSent, text="boom", catch=True)
        assert (await stage.turn(0.4, catch=True)).runs == ()
        outcome = await stage.turn(0.7, catch=True)
        assert [(run.attempt, run.status) for run in outcome.runs] == [(2, "failed")]
        assert 1.0 <= outcome.runs[0].wait <= 2.0
        outcome = await stage.settle(catch=True)
        outcome.assert_dead("note")
        assert seen == ["boom"] * 3


@pytest.fixture
def shaky(handlers):
    """A handler that fails as often as the message says."""

    @handlers.on("group_channel:message_send", retries=2)
    async def shake(event, context):
        if context.attempt <= int(event.text):
            raise ValueError(f"no luck {context.attempt}")


@pytest.mark.parametrize("failures", [1, 2])
async def test_time_heals(handlers, shaky, failures):
    """A failed attempt that a later one makes good raises nothing, and stays in the outcome."""
    async with Stage(handlers) as stage:
        with pytest.raises(ValueError, match="no luck 1"):
            await stage.send(MessageSent, text=str(failures))
        outcome = await stage.settle()
        outcome.assert_done("shake")
        said = [str(run.error) for run in outcome.runs if run.error is not None]
        assert said == ["no luck 2"][: failures - 1]
        assert all(text in str(outcome) for text in said)


async def test_time_may_heal(handlers, shaky):
    """An attempt that fails in a turn raises only when there is no other one."""
    async with Stage(handlers) as stage:
        await stage.send(MessageSent, text="9", catch=True)
        outcome = await stage.turn(1.2)  # the second attempt comes within 1 s, a third not before 1.5 s
        outcome.assert_status("failed")
        assert str(outcome.error) == "no luck 2"
        with pytest.raises(AssertionError, match="ValueError: no luck 2") as caught:
            outcome.assert_done()
        assert caught.value.__cause__ is outcome.error
        with pytest.raises(ValueError, match="no luck 3"):
            await stage.turn(60)


async def test_what_time_does_not_heal(handlers, shaky):
    """Who settles is told what a handler raised last before it gave up."""
    async with Stage(handlers) as stage:
        await stage.send(MessageSent, text="9", catch=True)
        with pytest.raises(ValueError, match="no luck 3"):
            await stage.settle()


async def test_a_failing_event_holds_its_conversation(handlers, seen):
    """Later events of the conversation wait for a failing one; those of others don't."""
    async with Stage(handlers) as stage:
        await stage.send(MessageSent, text="boom", channel="c1", catch=True)
        waiting = await stage.send(MessageSent, text="second", channel="c1")
        assert waiting.status == {"greeter.note": "waiting"}
        (await stage.send(MessageSent, text="other", channel="c2")).assert_done()
        outcome = await stage.settle(catch=True)
        assert seen == ["boom", "other", "boom", "boom", "second"]
        assert [run.status for run in outcome.runs] == ["failed", "dead", "done"]


async def test_asking_to_wait(handlers):
    """A handler that asks to wait has not failed: nothing is raised, and it is tried after that time."""

    @handlers.on("*")
    async def wait(event, context):
        if context.attempt == 1:
            context.retry_after(60)

    async with Stage(handlers) as stage:
        outcome = await stage.send(MessageSent)
        outcome.assert_status("asked to wait")
        assert outcome.error is None
        assert (await stage.turn(59)).runs == ()
        (await stage.turn(1)).assert_done()


async def test_a_repeated_request_runs_nothing(handlers, seen):
    """What Sendbird sends twice is handled once; a body without an identity twice."""
    async with Stage(handlers) as stage:
        event = make_event(MessageSent, text="hi")
        assert not (await stage.send(event)).is_repeat
        again = await stage.send(event)
        assert (again.is_repeat, again.status) == (True, {})
        old = make_event(MessageSent, text="old", case="mesg-2016")
        await stage.send(old)
        await stage.send(old)
        assert seen == ["hi", "old", "old"]


async def test_a_repeated_attempt(handlers):
    """Another attempt of a delivery repeats nothing under `once`; what was remembered is lost with it."""

    @handlers.on("*")
    async def once(event, context):
        (await context.state()).setdefault("attempts", []).append(context.attempt)
        async with context.once("send") as first:
            if first:
                await context.sendbird.send_message(event.channel.channel_url, "hi")

    async with Stage(handlers) as stage:
        outcome = await stage.send(MessageSent)
        outcome.assert_called(
            "POST", f"/group_channels/{outcome.event.conversation}/messages", {"message": "hi"}
        )
        again = await stage.repeat(outcome.event)
        again.assert_nothing()
        assert again.state == {"attempts": [2]}
        with pytest.raises(LookupError, match="never sent on this stage"):
            await stage.repeat(make_event(MessageSent))


async def test_repeated_replies(handlers):
    """A repeated attempt's reply has the same dedup_id, so nobody sees it twice."""
    handlers.bot("gif_bot").message()(lambda event, context: "hi")
    async with Stage(handlers) as stage:
        outcome = await stage.send(BotMessage)
        again = await stage.repeat(outcome.event)
        assert again.replies == []
        [call] = again.calls
        assert (call.effect, call.body["dedup_id"]) == ("repeat", outcome.replies[0].dedup_id)


async def test_from_bot(handlers):
    """Messages of bots that the stage knows are marked."""
    marks = []
    handlers.on("group_channel:message_send", name="mark")(
        lambda event, context: marks.append(event.from_bot)
    )
    handlers.bot("gif_bot")
    async with Stage(handlers, bots=["other_bot"]) as stage:
        for sender in ("gif_bot", "other_bot", "ana"):
            await stage.send(MessageSent, sender=sender)
    assert marks == [True, True, False]


async def test_log(handlers):
    """What is logged with the context's logger is there, with its level and what it carries."""
    handlers.on("*", name="say")(lambda event, context: context.log.warning("hm", cake=1))
    [entry] = (await run(handlers, MessageSent)).log
    assert (entry["event"], entry["level"], entry["cake"]) == ("hm", "warning", 1)
    assert entry["handler"] == "greeter.say"


async def test_clock(handlers, seen):
    """Events are received by the stage's clock, which moves when it is turned and not by itself."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    async with Stage(handlers, clock=Clock(begin)) as stage:
        first = await stage.send(MessageSent)
        await stage.turn(90)
        second = await stage.send(MessageSent)
        assert (first.event.received_at, second.event.received_at) == (begin, begin + timedelta(seconds=90))
        assert stage.clock.now == begin + timedelta(seconds=90)
    with pytest.raises(ValueError, match="expected an aware datetime"):
        Clock(datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is tested


async def test_endless(handlers, monkeypatch):
    """A plugin that never comes to an end is found out."""
    monkeypatch.setattr("receiver.testing.stage.MOST_ROUNDS", 50)

    @handlers.on("*", retries=1000)
    async def again(event, context):
        context.retry_after(1)

    async with Stage(handlers) as stage:
        await stage.send(MessageSent)
        with pytest.raises(AssertionError, match="after 50 attempts there is still something to do"):
            await stage.settle()


async def test_no_loop_of_ones_own(handlers, seen):
    """Several sends at once are taken one after the other, each with its own outcome."""
    async with Stage(handlers) as stage:
        outcomes = await asyncio.gather(*(stage.send(MessageSent, text=str(n)) for n in range(5)))
    assert seen == [str(n) for n in range(5)]
    assert [len(outcome.runs) for outcome in outcomes] == [1] * 5


async def test_a_gathered_state_is_not_too_large(handlers):
    """The receiver's own limits hold: a state beyond 64 KiB fails the attempt."""

    @handlers.on("*")
    async def hoard(event, context):
        (await context.state())["all"] = "x" * 70_000

    with pytest.raises(ValueError, match="65536 are the most"):
        await run(handlers, MessageSent)


async def test_named_waits(handlers):
    """A wait that Sendbird names is honoured by the stage's clock."""

    @handlers.on("*")
    async def call(event, context):
        if context.attempt == 1:
            raise SendbirdUnavailable("busy", retry_after=120)

    async with Stage(handlers) as stage:
        outcome = await stage.send(MessageSent, catch=True)
        assert outcome.runs[0].wait == 120
        assert (await stage.turn(119)).runs == ()
        (await stage.turn(2)).assert_done()


async def test_quick(handlers, seen):
    """A stage begins and ends in a few milliseconds: thousands of tests can have their own."""
    await run(handlers, MessageSent)
    begun = time.perf_counter()
    for _ in range(20):
        await run(handlers, MessageSent)
    assert (time.perf_counter() - begun) / 20 < 0.1


async def test_without_order():
    """With order=None a failing event holds back no other one of its conversation."""
    handlers = Handlers("test")
    done = []

    @handlers.on("group_channel:message_send", order=None)
    async def note(event, context):
        if event.text == "bad" and context.attempt == 1:
            context.retry_after(60)
        done.append(event.text)

    async with Stage(handlers) as stage:
        await stage.send(MessageSent, text="bad", channel="c")
        await stage.send(MessageSent, text="good", channel="c")
        assert done == ["good"]
        await stage.settle()
        assert done == ["good", "bad"]
