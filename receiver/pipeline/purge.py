"""Removing a person's data from all that is stored here, and proving it by a second look.

An event goes whole where its body names the person (`receiver.events.person`): a part of it can't go, since
a body is kept byte for byte. What still refers to such an event (a lane, a drain, a batch, the dispatcher)
finds it among the purged, and passes over it. One purge runs at a time; it can be repeated, and broken off
anywhere.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from receiver.errors import ReceiverError
from receiver.events.batches import Batch
from receiver.events.envelope import BATCH
from receiver.events.person import Person
from receiver.pipeline import keys, purge_spool, rewriting
from receiver.pipeline.connection import Client
from receiver.pipeline.inbox import is_before, open_all
from receiver.pipeline.purge_keys import Keys
from receiver.pipeline.removal import INBOX, LEASE_MS, Removal, Tally, Tell
from receiver.pipeline.spool import Spool

PAGE = 500
"""Events that are read at once."""
PASSES = 3
"""A drain that runs meanwhile may write once more what it has read before."""
LEFT_ALONE = rewriting.Outcome(inbox="left as it is", files="left as they are")


@dataclass(frozen=True, slots=True)
class Options:
    """`keep_waiting`: events that wait for a handler stay. `opt_outs`: the wish for no mails goes, too.

    `rewrite`: Redis is to forget the bytes, also where they are in nobody's way.
    """

    keep_waiting: bool = False
    opt_outs: bool = False
    rewrite: bool = True


@dataclass(slots=True)
class Found:
    """What there is of a person, and how much of it waits for its handlers."""

    tally: Tally
    last: str
    waiting: frozenset[str] = frozenset()

    @property
    def left(self) -> dict[str, int]:
        """What is there, by place, and is not kept because it was asked to be."""
        return dict(sorted((self.tally.found - self.tally.kept).items()))


@dataclass(frozen=True, slots=True)
class Done:
    """What was removed, what a second look has found, and what became of the bytes in Redis."""

    removed: Counter[str]
    after: Found
    rewritten: rewriting.Outcome


class Purge:
    """The removal of one person's data: from Redis and, where there is one, from the spool in `folder`."""

    def __init__(
        self, client: Client, person: Person, folder: Path, *, spool_limit: int, tell: Tell, options: Options
    ) -> None:
        self._client = client
        self._person = person
        self._folder = folder
        self._spool_limit = spool_limit
        self._tell = tell
        self._options = options
        self._token = uuid4().hex

    @property
    def has_spool(self) -> bool:
        """Whether there is a spool on this machine."""
        return purge_spool.there_is_one(self._folder)

    async def look(self, last: str = "+", keep: frozenset[str] = frozenset()) -> Found:
        """Count what there is, up to the inbox entry `last`, and change nothing."""
        if last == "+":
            newest = await self._client.xrevrange(keys.INBOX, count=1)
            last = newest[0][0].decode() if newest else "0-0"
        tally = await self._walk(last=last, keep=keep)
        waiting = await self._waiting(tally) if tally.entries else frozenset()
        return Found(tally, last, waiting)

    async def remove(self, found: Found) -> Done:
        """Remove what is there up to the end of `found`; return what went, and what a second look finds.

        Raises:
            ReceiverError: another purge runs.
        """
        keep = found.waiting if self._options.keep_waiting else frozenset()
        removed: Counter[str] = Counter()
        rewritten = LEFT_ALONE
        async with self._alone():
            for _ in range(PASSES):
                removed += (await self._walk(last=found.last, keep=keep, act=True)).removed
                if self._options.rewrite and (removed.total() or await self._client.exists(keys.MARRED)):
                    rewritten = await rewriting.rewrite(self._client, self._hold)
                after = await self.look(found.last, keep)
                if not after.left:
                    break
        return Done(removed, after, rewritten)

    async def _walk(self, *, last: str, keep: frozenset[str], act: bool = False) -> Tally:
        removal = Removal(
            client=self._client,
            person=self._person,
            tell=self._tell,
            windows=await self._windows(),
            last=last,
            act=act,
            keep=keep,
            keep_waiting=self._options.keep_waiting,
            opt_outs=self._options.opt_outs,
            token=self._token,
        )
        if self.has_spool:
            await asyncio.to_thread(self._walk_spool, removal)  # first of all: what it has goes to the inbox
        await self._walk_inbox(removal)
        await Keys(removal).walk()
        return removal.tally

    def _walk_spool(self, removal: Removal) -> None:
        spool = Spool(self._folder, limit=self._spool_limit)
        try:
            purge_spool.walk(removal, spool)
        finally:
            spool.close()

    async def _walk_inbox(self, removal: Removal) -> None:
        total, done, low = int(await self._client.xlen(keys.INBOX)), 0, "-"
        while found := await self._client.xrange(keys.INBOX, min=low, max=removal.last, count=PAGE):
            low = f"({found[-1][0].decode()}"
            opened = dict(open_all(found, self._client.keyring))
            hits = []
            for raw, fields in found:
                entry, envelope = raw.decode(), opened.get(raw.decode())
                if envelope is None:
                    if self._has_id(fields):
                        hits.append((entry, ""))
                    else:
                        removal.tally.unreadable += 1
                elif removal.names(envelope):
                    hits.append((entry, envelope.identity))
                elif envelope.source == BATCH:
                    listed = [one for one in Batch(envelope).entries if one in removal.tally.entries]
                    removal.tally.batches[entry] = listed
            await removal.note(INBOX, hits)
            await removal.hold()
            done += len(found)
            self._tell(INBOX, done, max(total, done))

    def _has_id(self, fields: dict[bytes, bytes]) -> bool:
        return any(self._person.user_id.encode() in value for value in fields.values())

    async def _windows(self) -> tuple[str, ...]:
        """Return the dedupe windows that are kept, and the one that may begin meanwhile."""
        found = {
            int(name.split(b":")[2])
            async for name in self._client.scan_iter(match=f"{keys.PREFIX}seen:*", count=1000)
        }
        return tuple(map(str, sorted(found | {max(found) + 1}))) if found else ()

    async def _waiting(self, tally: Tally) -> frozenset[str]:
        """Return those of the found entries that some handler still waits for.

        A lane is read twice: while it is, a drain moves entries between its parts.
        """
        cursor = ((await self._client.get(keys.CURSOR)) or b"0-0").decode()
        waiting = {one for one in tally.entries if is_before(cursor, one)}
        held: set[str] = set()
        for lane in [name.decode() for name in await self._client.hkeys(keys.LANES)]:
            for _ in range(2):
                held |= {
                    one async for one in self._in_lane(lane) if one in tally.entries or one in tally.batches
                }
        for batch in held & tally.batches.keys():
            waiting.update(tally.batches[batch])
        return frozenset(waiting | (held & tally.entries))

    async def _in_lane(self, lane: str) -> AsyncIterator[str]:
        client = self._client
        for part, kind in (("held", "parked"), ("gathering", "gathered")):
            for raw in await client.zrange(keys.lane(lane, part), 0, -1):
                name = keys.lane(lane, f"{kind}:{raw.decode()}")
                entries = await (client.lrange(name, 0, -1) if kind == "parked" else client.hkeys(name))
                for entry in entries:
                    yield entry.decode()
        for entry in await client.smembers(keys.lane(lane, "taken")):
            yield entry.decode()
        # From its end: what is taken from the front, or put back there, moves nothing.
        end, queue = -1, keys.lane(lane, "queue")
        while page := await client.lrange(queue, end - 9_999, end):
            for entry in page:
                yield entry.decode()
            end -= len(page)

    async def _hold(self) -> None:
        await self._client.pexpire(keys.PURGING, LEASE_MS)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        if not await self._client.set(keys.PURGING, self._token, nx=True, px=LEASE_MS):
            raise ReceiverError("another purge runs. (After one that was killed, wait for a minute.)")
        try:
            yield
        finally:
            with suppress(Exception):
                if await self._client.get(keys.PURGING) == self._token.encode():
                    await self._client.delete(keys.PURGING)
