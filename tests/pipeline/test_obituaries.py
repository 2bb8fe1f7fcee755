"""What a worker died of, told in its lanes; only what it had alone is blamed."""

from __future__ import annotations

import signal

import pytest
from structlog.testing import capture_logs

from receiver.pipeline import histories, keys, obituaries, routes
from receiver.pipeline.attempts import Attempts
from receiver.pipeline.lanes import Lane, Taken


async def crash(road, worker, conversations):
    """Have a worker take one event in each of these conversations' lanes, and die. Return the lanes."""
    lanes = []
    for conversation in conversations:
        await road.append(conversation)
        await road.dispatch()
        lane = Lane(road.client, routes.lane_of("test.h", conversation), worker=worker)
        assert await lane.begin() == 0
        assert len((await lane.turn([], want=1, share=1, enough=[])).events) == 1
        lanes.append(lane.name)
    return lanes


async def test_a_dead_letter_by_crashes_is_told(road):
    """Who alerts on errors in the log learns of a delivery of which every attempt was cut off."""
    road.handlers.on("*", name="h", retries=0)(lambda event, context: None)
    event_id = await road.append()
    [[entry, envelope]] = await road.inbox.latest(1)
    [registered] = road.handlers
    with capture_logs() as told:
        verdict = await Attempts(registered, road).run(Taken(entry, 1, 1, envelope))
    assert verdict.status == "dead"
    [line] = told
    assert (line["log_level"], line["id"], line["handler"]) == ("error", event_id, "test.h")


@pytest.mark.parametrize("count", [1, 2])
async def test_only_what_a_worker_had_alone_is_blamed(road, blocking, count):
    """A pool frees a dead worker's lanes at once; what died in company, in any lane, is only suspect."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    names = crash_in = ["c0", "c1"][:count]
    assert len({routes.lane_of("test.h", name) for name in names}) == count
    lanes = await crash(road, "w1", crash_in)
    assert obituaries.tell(blocking, "w1", 'killed by "x"') == count
    for name in lanes:
        assert await Lane(road.client, name, worker="w2").begin() == 1
        assert await road.client.zcard(keys.lane(name, "held")) == (count == 1)
    assert await road.client.exists(keys.dangerous("test.h")) == (count == 1)
    for entry, _ in await road.inbox.latest(10):
        [history] = await histories.load(road.client, [entry])
        [attempt] = history.deliveries[0].attempts
        assert attempt.error == 'the worker died while it had this event: killed by "x"'


async def test_another_workers_lanes_stay_its_own(road, blocking):
    """An obituary frees no lane that has another owner."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    [name] = await crash(road, "w1", ["c0"])
    assert obituaries.tell(blocking, "w", "gone") == 0
    assert obituaries.tell(blocking, "w2", "gone") == 0
    assert await Lane(road.client, name).begin() is None


async def test_a_lane_that_was_taken_over_meanwhile_stays_its_heirs(road, blocking, monkeypatch):
    """An obituary frees no lane whose lease ran out, and which got an heir, after the pool had looked."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    [name] = await crash(road, "w1", ["c0"])
    look = obituaries._lanes_of

    def look_too_early(client, worker):
        found = look(client, worker)
        blocking.set(keys.lane(name, "owner"), "w2:heir")
        return found

    monkeypatch.setattr(obituaries, "_lanes_of", look_too_early)
    obituaries.tell(blocking, "w1", "gone")
    assert await road.client.get(keys.lane(name, "owner")) == b"w2:heir"


async def test_an_obituary_ends(road, blocking):
    """Where the wake-up is lost, the reaper takes the lane for an owned one for a minute, and no longer."""

    async def handler(event, context):
        pass

    road.handlers.on("*", name="h")(handler)
    [name] = await crash(road, "w1", ["c0"])
    assert obituaries.tell(blocking, "w1", "gone") == 1
    assert 0 < await road.client.pttl(keys.lane(name, "owner")) <= obituaries.TOLD_FOR


async def test_suspects_are_for_drains_that_take_them(road, blocking):
    """A worker's drain leaves when a suspect is next; one for suspects takes them alone, and nothing else."""
    order = []

    async def handler(event, context):
        order.append(event.raw.get("n"))

    road.handlers.on("*", name="h")(handler)
    [name] = await crash(road, "w1", ["c0"])
    await road.append("c0", n=1)
    await road.dispatch()
    await road.client.delete(keys.lane(name, "owner"))  # its lease ran out

    async def drain(suspects):
        drain = road.drain_of(name)
        drain._lane = Lane(road.client, name, suspects=suspects)
        assert await drain.begin()
        return (await drain.run()).state, drain.suspect_waits

    assert await drain("none") == ("more", True)
    assert order == []
    assert await drain("only") == ("more", False)
    assert order == [None]
    assert await drain("none") == ("empty", False)
    assert order == [None, 1]


@pytest.mark.parametrize(
    ("code", "said"),
    [(-signal.SIGKILL, "killed by SIGKILL"), (-40, "killed by signal 40"), (3, "it ended with exit code 3")],
)
def test_causes(code, said):
    """An exit code is told in words."""
    assert obituaries.cause(code) == said
