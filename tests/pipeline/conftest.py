"""The road in small: an inbox, a dispatcher and drains, in one process, on a real Redis."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

import orjson
import pytest

from receiver import settings
from receiver.events.envelope import Envelope
from receiver.intake import new_id
from receiver.mail.mailer import MailRoom
from receiver.pipeline import histories, keys, routes
from receiver.pipeline.dispatcher import Dispatcher
from receiver.pipeline.drain import Drain
from receiver.pipeline.inbox import Inbox
from receiver.pipeline.lanes import Lane
from receiver.pipeline.lifespans import Lifespans
from receiver.pipeline.limits import Strays
from receiver.pipeline.storage import Storage
from receiver.plugins import Handlers
from tests.pipeline.collecting import Collecting
from tests.pipeline.lettering import Letters

CATEGORY = "group_channel:message_send"


class Road:
    """Appends events, dispatches them, drains lanes, and tells what became of them."""

    bots = frozenset()
    sendbird = None

    def __init__(self, client, blocking):
        self.client = client
        self.blocking = blocking
        self.inbox = Inbox(client)
        self.storage = Storage(client, Path("unused"), limit=0, spool_limit=0)
        self.handlers = Handlers("test")
        self.stopping = self.out_of_time = False
        self.alone = True
        self.threads = asyncio.Semaphore(64)
        self.batches = defaultdict(lambda: asyncio.Semaphore(16))
        self.lifespans = Lifespans()
        self.strays = Strays()
        self.mail = MailRoom(settings.load(), client)
        self.dispatcher = self.another_dispatcher()

    def sendbird_for(self, event):
        return self.sendbird

    def bots_for(self, event):
        return self.bots

    def another_dispatcher(self):
        return Dispatcher(self.client, self.blocking, dedupe_window=60, retention=3600)

    async def append(self, conversation="c1", *, identity="", category=CATEGORY, received=1, **body):
        """Store an event and return its id."""
        envelope = Envelope(
            id=new_id(received),
            source="webhook",
            category=category,
            conversation=conversation,
            identity=identity,
            received=received,
            body=orjson.dumps({"category": category, **body}),
        )
        await self.storage.append(envelope)
        return envelope.id

    async def lead(self, dispatcher=None):
        """Publish the routes, and make a dispatcher the leader."""
        dispatcher = dispatcher or self.dispatcher
        routes.publish(self.blocking, self.handlers)
        dispatcher._renewed = 0.0
        return await dispatcher._hold_lease()

    async def dispatch(self):
        """Dispatch all that the inbox holds."""
        assert await self.lead()
        while await self.dispatcher.dispatch_once():
            pass

    async def lanes(self):
        return sorted(lane.decode() for lane in await self.client.hkeys(keys.LANES))

    def drain_of(self, lane):
        handler = next(one for one in self.handlers if one.name == routes.handler_of(lane))
        ordered = handler.order is not None
        return Drain(Lane(self.client, lane, handler.window, ordered=ordered), handler, self)

    async def drain(self):
        """Drain every lane once; return how each was left."""
        return {lane: await self.drain_lane(lane) for lane in await self.lanes()}

    async def drain_lane(self, lane):
        """Drain one lane; return how it was left."""
        drain = self.drain_of(lane)
        assert await drain.begin()
        return await drain.run()

    async def history(self, event_id):
        """Return what happened to an event."""
        entry, _ = await self.inbox.find(event_id)
        [history] = await histories.load(self.client, [entry])
        return history

    async def delivery(self, event_id):
        """Return the only delivery of an event."""
        [delivery] = (await self.history(event_id)).deliveries
        return delivery


@pytest.fixture
async def road(client, blocking):
    return Road(client, blocking)


@pytest.fixture
async def plugin(road):
    """A plugin that gathers, and handles batches."""
    return Collecting(road)


@pytest.fixture
def letters(road):
    """A road whose handlers refuse what they are told to."""
    return Letters(road)
