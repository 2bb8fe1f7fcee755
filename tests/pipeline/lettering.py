"""What the tests of dead letters share: handlers that refuse, and what is left of it."""

from __future__ import annotations

from receiver.errors import SendbirdRefused
from receiver.pipeline import dead_letters, keys
from receiver.pipeline.dead_letters import Wanted
from receiver.pipeline.housekeeping import Housekeeper
from tests.pipeline.collecting import let_time_pass

HANDLER = "test.h"


class Letters:
    """A road whose handlers `h` and `other` refuse what `refused` and `refused_by_other` hold."""

    def __init__(self, road):
        self.road = road
        self.refused = set()
        self.refused_by_other = set()
        self.seen = []

        async def handler(event, context):
            self.seen.append((event.raw["n"], context.attempt))
            if event.raw["n"] in self.refused:
                raise SendbirdRefused(f"no {event.raw['n']} for you")

        async def other(event, context):
            if event.raw["n"] in self.refused_by_other:
                raise SendbirdRefused("neither")

        road.handlers.on("group_channel:*", name="h")(handler)
        road.handlers.on("group_channel:*", name="other")(other)

    async def die(self, *numbers, conversation="c1"):
        """Have events die at `h`; return their ids."""
        self.refused |= set(numbers)
        ids = [await self.road.append(conversation, n=n, text="ö\x00") for n in numbers]
        await self.work()
        return ids

    async def work(self):
        """Dispatch and drain until no lane holds anything."""
        await self.road.dispatch()
        while lanes := await self.road.lanes():
            for lane in lanes:
                await let_time_pass(self.road, lane)
                await self.road.drain_lane(lane)

    async def leave_the_inbox(self):
        """Have everything finished trimmed. (The last event stays, for the cursor.)"""
        self.refused.discard("last")
        await self.road.append("elsewhere", n="last")
        await self.work()
        await Housekeeper(self.road.client, -1).trim()
        assert await self.road.inbox.length() == 1

    async def find(self, **wanted):
        return [one async for one in dead_letters.find(self.road.client, Wanted(**wanted))]

    async def retry(self, **wanted):
        found = await self.find(**wanted)
        return await dead_letters.retry(self.road.client, self.road.blocking, found)

    async def discard(self, **wanted):
        return await dead_letters.discard(self.road.client, await self.find(**wanted))

    async def bury(self):
        return await Housekeeper(self.road.client, 3600).bury()

    async def left(self):
        """Return the keys in Redis that letters leave."""
        found = [
            *await self.road.client.keys("receiver:letter:*"),
            *await self.road.client.keys("receiver:batch:*"),
            *await self.road.client.keys(keys.DEAD),
            *await self.road.client.keys(keys.REVIVED),
        ]
        return sorted(key.decode() for key in found)

    async def status(self, event_id, handler=HANDLER):
        history = await self.road.history(event_id)
        return next(one.status for one in history.deliveries if one.handler == handler)


def number_of(letter):
    return int(letter.envelope.body.split(b'"n":')[1].split(b",")[0])
