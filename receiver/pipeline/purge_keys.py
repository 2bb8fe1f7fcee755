"""A person's data in Redis beside the inbox: letters, lanes, states, histories, unknown keys."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import orjson

from receiver.events.envelope import BATCH
from receiver.events.parsing import storable
from receiver.mail.unsubscribe import PREFIX as OPT_OUTS
from receiver.pipeline import keys
from receiver.pipeline.connection import Script
from receiver.pipeline.deliveries import ONCE
from receiver.pipeline.inbox import open_all, open_letter
from receiver.pipeline.removal import AT_ONCE, LETTERS, Removal

OPT_OUTS_PLACE = "opt-outs"
LOOKS_AT = 1000
"""Names of keys that Redis gives at once."""
_LANE = re.compile(r"receiver:lane:([^:]+):([a-z]+)(?::(.*))?", re.DOTALL)
_STATE = re.compile(r"receiver:state:([^:]+):(.*)", re.DOTALL)
_ATTEMPT = re.compile(r"(.+) (\d+)")
_WITHOUT_PEOPLE = re.compile(
    r"receiver:(inbox|inbox:copy|cursor|dispatcher|seen:.*|routings|finished|lanes|routes|dead|revived|stats|purged"
    r"|purging|marred|mail:turn.*|writer:.*|dangerous:.*)"
)
"""The inbox is walked by itself; the others hold entries, digests and the names of handlers and processes.
(A bot's id, in a route or among the bots, is no person's: it is set up.)"""

_LANE_PURGE = Script("purge_lane")
_BATCH_PURGE = Script("purge_batch")
_HISTORY_PURGE = Script("purge_history")


class Keys:
    """Walks through all keys of the receiver, but for the inbox."""

    def __init__(self, removal: Removal) -> None:
        self._removal = removal
        self._client = removal.client
        self._person = removal.person
        self._user = storable(removal.person.user_id)
        self._lanes: set[str] = set()
        self._copies: list[str] = []
        self._dead_batches: dict[str, tuple[str, str]] = {}  # the batch's id → its entry and identity

    async def walk(self) -> None:
        """Find, and remove, what is there."""
        total, done, cursor = int(await self._client.dbsize()), 0, 0
        while True:
            cursor, found = await self._client.scan(cursor, match=f"{keys.PREFIX}*", count=LOOKS_AT)
            groups: defaultdict[Callable[[list[str]], Awaitable[None]], list[str]] = defaultdict(list)
            for raw in found:
                name = raw.decode(errors="surrogateescape")
                groups[self._kind(name)].append(name)
            for look, names in groups.items():
                for first in range(0, len(names), AT_ONCE):
                    await look(names[first : first + AT_ONCE])
            await self._removal.hold()
            done = min(total, done + LOOKS_AT)
            self._removal.tell("keys", done, total)
            if not cursor:
                break
        await self._look_into_lanes()
        for name in self._copies:
            await self._look_at_copies(name)

    def _kind(self, name: str) -> Callable[[list[str]], Awaitable[None]]:
        for prefix, look in (
            ("event:", self._histories),
            ("letter:", self._letters),
            ("lane:", self._lane_names),
            ("state:", self._states),
            ("batch:", self._note_copies),
            (OPT_OUTS.removeprefix(keys.PREFIX), self._opt_outs),
            (keys.BOTS.removeprefix(keys.PREFIX), self._nothing),
        ):
            if name.startswith(keys.PREFIX + prefix):
                return look
        return self._nothing if _WITHOUT_PEOPLE.fullmatch(name) else self._unknown

    async def _nothing(self, names: list[str]) -> None:
        pass

    async def _letters(self, names: list[str]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.hmget(name, *keys.LETTER)
        hits = []
        for name, values in zip(names, await pipeline.execute(), strict=True):
            entry, envelope = name.rpartition(":")[2], open_letter(values, self._client.keyring)
            if envelope is None:
                if any(value is not None for value in values) and self._is_doubtful(values):
                    hits.append((entry, ""))
                continue
            if envelope.source == BATCH:
                self._dead_batches[envelope.id] = entry, envelope.identity
            if self._removal.names(envelope):
                hits.append((entry, envelope.identity))
        await self._removal.note(LETTERS, hits)

    def _is_doubtful(self, values: Sequence[bytes | None]) -> bool:
        """Tell whether what can't be opened holds the id; else it counts as unreadable."""
        if any(value is not None and self._user.encode() in value for value in values):
            return True
        self._removal.tally.unreadable += 1
        return False

    async def _note_copies(self, names: list[str]) -> None:
        self._copies += names

    async def _look_at_copies(self, name: str) -> None:
        found = await self._client.xrange(name)
        opened = open_all(found, self._client.keyring)
        hits = [entry for entry, envelope in opened if self._removal.names(envelope)]
        self._removal.tally.unreadable += len(found) - len(opened)
        self._removal.tally.found["copies in dead batches"] += len(hits)
        if not (hits and self._removal.act):
            return
        left = await _BATCH_PURGE.run(self._client, [name], hits)
        self._removal.tally.removed["copies in dead batches"] += len(hits)
        if not left and (letter := self._dead_batches.get(name.rpartition(":")[2])):
            await self._removal.note(LETTERS, [letter])  # there is nothing left to retry

    async def _lane_names(self, names: list[str]) -> None:
        for name in names:
            if match := _LANE.fullmatch(name):
                lane, part, rest = match.groups()
                self._lanes.add(lane)
                quoted = rest is not None and rest != self._user and self._person.is_quoted(rest)
                if quoted and part == "gathered":
                    self._removal.tally.found["gathered under a name that has the id"] += 1

    async def _look_into_lanes(self) -> None:
        if not self._lanes:
            return
        user, lanes = self._user, sorted(self._lanes)
        pipeline = self._client.pipeline(transaction=False)
        for lane in lanes:
            pipeline.exists(*(keys.lane(lane, f"{part}:{user}") for part in ("parked", "gathered")))
            pipeline.zscore(keys.lane(lane, "held"), user)
            pipeline.hget(keys.lane(lane, "closed"), user)
        answers = await pipeline.execute()
        for lane, kept, held, closed in zip(lanes, answers[::3], answers[1::3], answers[2::3], strict=True):
            there = bool(kept) or held is not None or closed is not None
            if not there:
                continue
            self._removal.tally.found["lanes"] += 1
            if self._removal.keep_waiting:
                self._removal.tally.kept["lanes"] += 1
            elif self._removal.act:
                await _LANE_PURGE.run(self._client, [], [keys.PREFIX, lane, user])
                self._removal.tally.removed["lanes"] += 1

    async def _states(self, names: list[str]) -> None:
        hits = []
        for name, value in zip(names, await self._client.mget(names), strict=True):
            match = _STATE.fullmatch(name)
            about = match is not None and (match[2] == self._user or self._person.is_quoted(match[2]))
            if value is not None and (about or self._person.is_named(value)):
                hits.append(name)
        self._removal.tally.found["states of handlers"] += len(hits)
        if hits and self._removal.act:
            await self._client.unlink(*hits)
            self._removal.tally.removed["states of handlers"] += len(hits)

    async def _histories(self, names: list[str]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(name)
        for name, stored in zip(names, await pipeline.execute(), strict=True):
            if name.rpartition(":")[2] in self._removal.tally.entries:
                continue  # it goes with its event, or stays with it
            found, changes = self._changes(stored)
            self._removal.tally.found["histories of other events"] += found
            if changes and self._removal.act:
                changed = await _HISTORY_PURGE.run(self._client, [name], changes)
                self._removal.tally.removed["histories of other events"] += changed

    def _changes(self, stored: dict[bytes, bytes]) -> tuple[int, list[Any]]:
        """Return how many fields have the id, and field, value and new value of those that can be changed.

        What happened once stays on record until its delivery has ended: else it would happen again.
        """
        found, changes = 0, []
        for field, value in stored.items():
            handler, is_effect, key = field.decode().partition(ONCE)
            if is_effect:
                if self._person.is_quoted(key):
                    found += 1
                    status = stored.get(handler.encode(), b"waiting").partition(b" ")[0]
                    if status not in (b"waiting", b"retrying"):
                        changes += [field, value, ""]
            elif _ATTEMPT.fullmatch(handler) and value.startswith(b"{"):
                record = self._redacted(value)
                if record != value:
                    found += 1
                    changes += [field, value, record]
        return found, changes

    def _redacted(self, value: bytes) -> bytes:
        """Return the record of an attempt without the id in what the handler has said."""
        record = orjson.loads(value)
        said = {part: record[part] for part in ("error", "traceback") if isinstance(record.get(part), str)}
        if not any(self._person.is_quoted(text) for text in said.values()):
            return value
        return orjson.dumps(record | {part: self._person.redact(text) for part, text in said.items()})

    async def _opt_outs(self, names: list[str]) -> None:
        for name in names:
            if not await self._client.sismember(name, self._user):
                continue
            self._removal.tally.found[OPT_OUTS_PLACE] += 1
            if not self._removal.opt_outs:
                self._removal.tally.kept[OPT_OUTS_PLACE] += 1
            elif self._removal.act:
                await self._client.srem(name, self._user)
                self._removal.tally.removed[OPT_OUTS_PLACE] += 1

    async def _unknown(self, names: list[str]) -> None:
        """Look into keys that this version doesn't know: they are told, and nobody touches them."""
        for name in names:
            kind = (await self._client.type(name)).decode()
            if any(self._person.is_quoted(text) for text in (name, *await self._texts(name, kind))):
                self._removal.tally.found["unknown keys"] += 1

    async def _texts(self, name: str, kind: str) -> list[str]:
        client = self._client
        reading: dict[str, Callable[[], Awaitable[Any]]] = {
            "string": lambda: client.mget([name]),
            "hash": lambda: client.hgetall(name),
            "list": lambda: client.lrange(name, 0, -1),
            "set": lambda: client.smembers(name),
            "zset": lambda: client.zrange(name, 0, -1),
            "stream": lambda: client.xrange(name),
        }
        found = await reading[kind]() if kind in reading else []
        return list(_texts_in(found))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, dict):
        yield from _texts_in([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from _texts_in(one)
