"""What surrounds a drain: the process that it runs in, which the runtime is in a worker."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Protocol

import redis

from receiver.events import Event
from receiver.mail.mailer import MailRoom
from receiver.pipeline.connection import Client
from receiver.pipeline.lifespans import Lifespans
from receiver.pipeline.limits import Strays
from receiver.sendbird.platform import Platform


class AttemptSurroundings(Protocol):
    """What an attempt needs of its process.

    `threads` bounds the plain functions that run at once, `batches` each handler's batches: their events are
    in memory meanwhile. `strays` are attempts that ended without their functions.

    `blocking` is the client for RQ, which has no asynchronous one.
    """

    client: Client
    blocking: redis.Redis
    mail: MailRoom
    threads: asyncio.Semaphore
    batches: defaultdict[str, asyncio.Semaphore]
    lifespans: Lifespans
    strays: Strays

    def sendbird_for(self, event: Event) -> Platform:
        """Return the client of the application that the event is from."""
        ...

    def bots_for(self, event: Event) -> frozenset[str]:
        """Return the bots of the application that the event is from."""
        ...


class Surroundings(AttemptSurroundings, Protocol):
    """What a drain needs of its process.

    `stopping`: the process ends, and at once where it is `out_of_time`. `alone`: nothing else can run in it
    while this drain does.
    """

    stopping: bool
    out_of_time: bool
    alone: bool
