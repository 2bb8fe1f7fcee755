"""Gathering on a stage goes by the rules of the real road: each scenario runs on both."""

from __future__ import annotations

import pytest

from receiver import Handlers, MessageSent
from receiver.collect import Collect, Window
from receiver.errors import ReceiverError
from receiver.testing import Clock, Stage, make_event
from receiver.testing.events import envelope_of
from receiver.testing.gathering import Accepted, Gathering
from tests.pipeline.collecting import Collecting
from tests.pipeline.conftest import Road


class OnTheRoad(Collecting):
    """The real one: Redis, scripts, drains."""

    async def aclose(self):
        pass


class OnAStage:
    """The one in memory, with the same plugin."""

    def __init__(self, **window):
        self.batches, self.fail = [], {}
        handlers = Handlers("test")

        async def digest(batch, context):
            if self.fail.get(batch.key, 0):
                self.fail[batch.key] -= 1
                context.retry_after(3600)
            self.batches.append((batch.key, [event.raw["n"] for event in batch.events]))

        async def gather(event, context):
            if "gather" in event.raw:
                await context.gather(self.collect, *event.raw["gather"])
            if "cancel" in event.raw:
                await context.cancel(self.collect, *event.raw["cancel"], conversation=event.raw.get("only"))
            if context.attempt <= event.raw.get("fail", 0):
                context.retry_after(1)

        options = {"quiet": 3600, "longest": 86_400, "most": 1000, **window}
        self.collect = handlers.collect(retries=1000, **options)(digest)
        handlers.on("*", name="gather", retries=1000)(gather)
        self.stage = Stage(handlers)

    async def send(self, n, *names, conversation="c1", **body):
        await self._send({"n": n, "gather": names, **body}, conversation)

    async def cancel(self, n, *names, conversation="c1", **body):
        await self._send({"n": n, "cancel": names, **body}, conversation)

    async def _send(self, raw, conversation):
        outcome = await self.stage.send(MessageSent, channel=conversation, raw=raw)
        while outcome.status.get("test.gather") != "done":
            outcome = await self.stage.turn(1)

    async def drain(self):
        """Run what is ready now."""
        await self.stage.turn(0)

    async def digest(self):
        """Let all windows and waits end, once."""
        await self.stage.turn(3600)

    async def finish(self):
        await self.stage.settle()

    async def aclose(self):
        await self.stage.aclose()


@pytest.fixture(params=["stage", "road"])
async def make(request):
    """Make the plugin, on either."""
    made = []

    async def make(**window):
        if request.param == "stage":
            made.append(OnAStage(**window))
        else:
            client, blocking = (request.getfixturevalue(name) for name in ("client", "blocking"))
            made.append(OnTheRoad(Road(client, blocking), **window))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


@pytest.fixture
def _redis(client, blocking):
    """Have Redis's clients made on the test's loop."""


pytestmark = pytest.mark.usefixtures("_redis")


async def test_one_batch_in_order(make):
    """A key's events come as one batch, in the order in which they were accepted."""
    plugin = await make()
    for n in range(5):
        await plugin.send(n, "ada", conversation=f"c{n}")
    await plugin.drain()
    assert plugin.batches == []
    await plugin.finish()
    assert plugin.batches == [("ada", [0, 1, 2, 3, 4])]


async def test_several_keys(make):
    """Each key has a batch of its own; an event may be in several."""
    plugin = await make()
    await plugin.send(0, "ada", "bob")
    await plugin.send(1, "bob", "bob")
    await plugin.finish()
    assert sorted(plugin.batches) == [("ada", [0]), ("bob", [0, 1])]


async def test_the_most(make):
    """With its most-th event a batch closes at once; what comes after begins another."""
    plugin = await make(most=3)
    for n in range(3):
        await plugin.send(n, "ada")
    await plugin.drain()
    assert plugin.batches == [("ada", [0, 1, 2])]
    await plugin.send(3, "ada")
    await plugin.drain()
    assert plugin.batches == [("ada", [0, 1, 2])]
    await plugin.finish()
    assert plugin.batches == [("ada", [0, 1, 2]), ("ada", [3])]


async def test_no_quiet(make):
    """Without a quiet every event is a batch."""
    plugin = await make(quiet=0, longest=0)
    for n in range(2):
        await plugin.send(n, "ada")
        await plugin.drain()
    assert plugin.batches == [("ada", [0]), ("ada", [1])]


async def test_one_closed_batch_at_a_time(make):
    """While a closed batch waits for another attempt, what is gathered is for the next one."""
    plugin = await make()
    plugin.fail["ada"] = 1
    await plugin.send(0, "ada")
    await plugin.digest()
    await plugin.send(1, "ada")
    assert plugin.batches == []
    await plugin.finish()
    assert plugin.batches == [("ada", [0]), ("ada", [1])]


async def test_the_next_batch_stays_open_as_long(make):
    """What is gathered behind a closed batch stays open until that one is over, though its own time is."""
    plugin = await make()
    plugin.fail["ada"] = 2
    await plugin.send(0, "ada")
    await plugin.digest()
    await plugin.send(1, "ada")
    await plugin.digest()
    await plugin.send(2, "ada")
    await plugin.finish()
    assert plugin.batches == [("ada", [0]), ("ada", [1, 2])]


async def test_more_than_the_most(make):
    """What is gathered behind a closed batch, beyond the most, is for the batch after the next."""
    plugin = await make(most=2)
    plugin.fail["ada"] = 1
    for n in range(5):
        await plugin.send(n, "ada")
        await plugin.drain()
    await plugin.finish()
    assert plugin.batches == [("ada", [0, 1]), ("ada", [2, 3]), ("ada", [4])]


async def test_a_repeated_attempt_gathers_once(make):
    """However many attempts an event takes, it is gathered once."""
    plugin = await make()
    await plugin.send(0, "ada", fail=2)
    await plugin.send(1, "ada")
    await plugin.finish()
    assert plugin.batches == [("ada", [0, 1])]


async def test_cancel(make):
    """Cancelling drops what was accepted before; what comes later is gathered."""
    plugin = await make()
    await plugin.send(0, "ada", "bob")
    await plugin.cancel(1, "ada")
    await plugin.send(2, "ada")
    await plugin.finish()
    assert sorted(plugin.batches) == [("ada", [2]), ("bob", [0])]


async def test_cancel_one_conversation(make):
    """With a conversation, only its events are dropped."""
    plugin = await make()
    await plugin.send(0, "ada", conversation="c1")
    await plugin.send(1, "ada", conversation="c2")
    await plugin.cancel(2, "ada", conversation="c1", only="c1")
    await plugin.finish()
    assert plugin.batches == [("ada", [1])]


async def test_cancel_all(make):
    """What is dropped to the last event never comes."""
    plugin = await make()
    await plugin.send(0, "ada")
    await plugin.cancel(1, "ada")
    await plugin.cancel(2, "nobody")
    await plugin.finish()
    assert plugin.batches == []


@pytest.mark.parametrize(("only", "left"), [(None, []), ("c1", [("ada", [0])])])
async def test_cancel_a_closed_batch(make, only, left):
    """A closed batch that waits for another attempt is dropped, unless one conversation is meant."""
    plugin = await make()
    plugin.fail["ada"] = 1
    await plugin.send(0, "ada")
    await plugin.digest()
    await plugin.cancel(1, "ada", only=only)
    await plugin.finish()
    assert plugin.batches == left


async def test_the_windows_of_a_stage():
    """On a stage, quiet and longest are measured by its clock."""
    plugin = OnAStage(quiet=100, longest=150)
    await plugin.send(0, "ada")
    await plugin.stage.turn(99)
    await plugin.send(1, "ada")
    await plugin.stage.turn(50)
    assert (plugin.batches, list(plugin.stage.gathered)) == ([], ["ada"])
    outcome = await plugin.stage.turn(1)
    assert plugin.batches == [("ada", [0, 1])]
    [run] = outcome.runs
    assert run.event.key == "ada"
    assert [event.raw["n"] for event in run.event.events] == [0, 1]
    assert run.event.received_at == plugin.stage.clock.now
    assert plugin.stage.gathered == {}
    await plugin.aclose()


async def test_a_late_cancel():
    """An event that cancels late, after a retry, drops nothing that was accepted after it."""

    def accepted(number):
        return Accepted(number, envelope_of(make_event(MessageSent)))

    collect = Collect("test.digest", Window(60, 600, 10), print)
    gathering = Gathering(Clock())
    for number in (1, 3):
        gathering.gather(collect, ["ada"], event=accepted(number), handler="test.gather", call=1)
    gathering.cancel(collect, ["ada"], None, event=accepted(2), handler="test.gather", call=1)
    [left] = gathering.waiting().values()
    assert [one.number for one in left] == [3]


async def test_from_bot():
    """The messages of a batch are marked where a bot wrote them, as single ones are."""
    handlers, marks = Handlers("test"), []
    handlers.bot("cake_bot")

    @handlers.collect(quiet=0, longest=0)
    async def digest(batch, context):
        marks.extend(event.from_bot for event in batch.events)

    @handlers.on("group_channel:message_send")
    async def gather(event, context):
        await context.gather(digest, "all")

    async with Stage(handlers) as stage:
        await stage.send(MessageSent, sender="cake_bot")
        await stage.send(MessageSent, sender="ana")
    assert marks == [True, False]


async def test_a_batch_gathers_nothing():
    """A batch can't be gathered, as in the receiver."""
    handlers = Handlers("test")

    @handlers.collect(quiet=0, longest=0)
    async def digest(batch, context):
        await context.gather(digest, "again")

    @handlers.on("*")
    async def gather(event, context):
        await context.gather(digest, "ada")

    async with Stage(handlers) as stage:
        with pytest.raises(ReceiverError, match="a batch can't be gathered"):
            await stage.send(MessageSent)
