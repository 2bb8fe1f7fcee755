"""Lanes: an ordered mailbox for each (handler, shard of conversations).

A lane has one owner at a time, the running drain, by a lease with a fencing token. What the owner
takes stays on record until it is settled, so that nothing is lost with its process.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from redis.exceptions import NoScriptError

from receiver.collect import Window
from receiver.errors import Fenced
from receiver.events.envelope import Envelope
from receiver.pipeline import keys
from receiver.pipeline.connection import Client, Script
from receiver.pipeline.deliveries import Attempt, Status, counts
from receiver.pipeline.finished import Finished, pack
from receiver.pipeline.gathering import limits
from receiver.pipeline.inbox import open_entry, order
from receiver.pipeline.routes import handler_of

LEASE_MS = 30_000
LINGERING_MS = 3_000
"""The lease of a drain that lingers: longer than it does (`pace.LINGER`)."""
STATE_LIVES = 30 * 86_400
"""Seconds after its last change that a state is forgotten."""
CLOSED_AT_ONCE = 20_000
"""Events, about, whose batches close in one turn: Redis does nothing else meanwhile."""
LOST_REDIS = "the worker lost Redis while it had this event"
PARTS = ("owner", "queue", "taken", "suspects", "held", "gathering", "closed", "kept")
TURN = ("settle", "close", "take")
"""The scripts of a turn, in their order."""
Operation = tuple[Any, ...]
Suspects = Literal["all", "only", "none"]
"""Whether a drain takes events that were in the hands of a worker that died, or takes nothing else."""


class Taken(NamedTuple):
    """An event that the owner has: its inbox entry, and the attempts and failures it had before.

    `envelope` is None where the entry has left the inbox, or can't be read.
    """

    entry: str
    attempts: int
    failures: int
    envelope: Envelope | None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn gave. `overflowing` conversations have more, which waits until they are resumed.

    Where `suspect_waits`, the next event is one, and is for a drain that takes them. Where the drain
    `lingers`, there is nothing in the lane, and the bell will ring for it.
    """

    events: list[Taken]
    overflowing: list[str]
    suspect_waits: bool = False
    lingers: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """How a drain's ownership ended. `due` is in milliseconds since the epoch, for a resting lane."""

    state: str
    due: float | None = None


def finish(status: Status, worker: str, finished: Sequence[Finished]) -> Operation:
    """These deliveries, at least one and at most a few thousand, are over, after their first attempts."""
    entries = [one.entry for one in finished]
    return ("finish", status, worker, pack(finished), len(entries), *entries)


def end(taken: Taken, status: Status, attempt: Attempt | None = None) -> Operation:
    """The delivery is over: done, skipped or dead."""
    attempts = attempt.number if attempt else taken.attempts
    failures = taken.failures + (attempt is not None and attempt.outcome != "done")
    record = attempt.to_json() if attempt else b""
    return ("end", taken.entry, status, attempts, failures, record)


def remember(taken: Taken, conversation: str, state: bytes) -> Operation:
    """The handler's state of the conversation is `state` from now on. Goes before the event's `end`."""
    return ("remember", taken.entry, conversation, STATE_LIVES, state)


def retry(taken: Taken, attempt: Attempt, conversation: str, wait: float, behind: list[str]) -> Operation:
    """The delivery is tried again after `wait` seconds; the conversation, what is `behind`, waits apart."""
    numbers = (attempt.number, taken.failures + 1)
    return (
        "retry",
        taken.entry,
        *numbers,
        attempt.to_json(),
        conversation,
        round(wait * 1000),
        len(behind),
        *behind,
    )


def back(events: Sequence[tuple[str, str]]) -> list[Operation]:
    """These events, each an entry and its conversation, were taken but not begun: back in their order."""
    last_first = sorted(events, key=lambda one: order(one[0]), reverse=True)
    return [("back", entry, conversation) for entry, conversation in last_first]


def resume(conversation: str) -> Operation:
    """An overflowing conversation has finished what it was given."""
    return ("resume", conversation)


def over(taken: Taken) -> Operation:
    """The delivery of a batch has ended: its key may have another one. Goes with the `end`."""
    key = taken.envelope.conversation if taken.envelope else ""
    return ("over", key, taken.entry, keys.BLOCKED)


class Lane:
    """One lane, in the hands of one drain. With a `window`, what is gathered in it closes by that.

    Where it is not `ordered`, each event is a conversation of its own: its entry is its name. `worker` is the
    process's name, by which its pool finds the lanes that it had. `suspects`: which of them it takes.
    """

    _begin = Script("begin")
    _settle, _close, _take = (Script(name, TURN) for name in TURN)
    _release = Script("release")

    def __init__(
        self,
        client: Client,
        name: str,
        window: Window | None = None,
        *,
        ordered: bool = True,
        worker: str = "",
        suspects: Suspects = "all",
    ) -> None:
        self.name = name
        self.handler = handler_of(name)
        self.suspects = suspects
        self.token = f"{worker}:{uuid4().hex}"
        self._client = client
        self._window = window
        self._ordered = "1" if ordered else ""
        self._key = {part: keys.lane(name, part) for part in PARTS}

    async def begin(self) -> int | None:
        """Become the owner; return how many events a dead drain had left, or None if another drain lives."""
        recovered = await self._call_begin(abandon="")
        return None if recovered < 0 else recovered

    async def abandon(self, why: str = LOST_REDIS) -> None:
        """Put back what is taken, blame nobody, and let go of the lane, if it is still one's own."""
        await self._call_begin(abandon=why)

    async def _call_begin(self, *, abandon: str) -> int:
        key = self._key
        return int(
            await self._begin.run(
                self._client,
                [*(key[part] for part in PARTS[:5]), keys.LANES, keys.INBOX],
                [
                    *(keys.PREFIX, self.name, self.handler, self.token, LEASE_MS),
                    *(abandon, self._ordered),
                ],
            )
        )

    async def turn(
        self,
        operations: list[Operation],
        *,
        want: int,
        share: int,
        enough: list[str],
        linger: bool = False,
    ) -> Turn:
        """Record `operations`, close what is due, then take up to `want` events, at most `share` of one
        conversation.

        Conversations in `enough` get no more for now. With `linger`, the drain waits for the bell where there
        is nothing in the lane.

        Raises:
            Fenced: another drain owns the lane.
        """
        key = self._key
        common = [keys.PREFIX, self.name, self.handler, self.token, LEASE_MS]
        calls: list[tuple[Script, list[str], list[Any]]] = []
        if operations or want <= 0:
            settled = [key[part] for part in PARTS[:5]] + [keys.STATS, keys.DEAD, keys.INBOX, keys.FINISHED]
            calls.append((self._settle, settled, [*common, *(part for one in operations for part in one)]))
        if want > 0 and self._window is not None:
            calls.append(self._closing(self._window, common, want))
        if want > 0:
            taken = [key[part] for part in PARTS[:5]] + [keys.INBOX, keys.LANES]
            how = (want, share, self._ordered, self.suspects, LINGERING_MS if linger else "")
            calls.append((self._take, taken, [*common, *how, *enough]))
        results = await self._call(calls)
        if None in results:
            raise Fenced(f"the lane {self.name} has another owner")
        if want <= 0:
            return Turn([], [])
        events, overflowing, waits, lingers = results[-1]
        keyring = self._client.keyring
        return Turn(
            [
                Taken(entry.decode(), *counts(state), open_entry(fields, keyring))
                for entry, state, fields in events
            ],
            [conversation.decode() for conversation in overflowing],
            bool(waits),
            bool(lingers),
        )

    async def release(self, *, give_way: bool) -> Release:
        """Let go of the lane if nothing is to be done now, or in any case to `give_way`.

        Raises:
            Fenced: another drain owns the lane.
        """
        key = self._key
        result = await self._release.run(
            self._client,
            [key["owner"], key["queue"], key["taken"], key["held"], key["gathering"], keys.LANES],
            [self.name, self.token, "1" if give_way else "", "1" if self._window else ""],
        )
        if result is None:
            raise Fenced(f"the lane {self.name} has another owner")
        return Release(result[0].decode(), float(result[1]) if len(result) > 1 else None)

    def _closing(self, window: Window, common: list[Any], want: int) -> tuple[Script, list[str], list[Any]]:
        key = self._key
        names = [key["owner"], key["queue"], key["gathering"], key["closed"], key["kept"], keys.INBOX]
        bounds = [want, CLOSED_AT_ONCE, secrets.randbits(48)]
        return self._close, names, [*common, *bounds, *limits(window), keys.BLOCKED]

    async def _call(self, calls: list[tuple[Script, list[str], list[Any]]]) -> list[Any]:
        """Run the scripts in one round trip. A Redis that has restarted is taught them first.

        They are taught together, so that either all of a call's scripts ran or none did; but another
        process may teach them at this moment, and taking is what must not run twice: it is taught last.
        """
        packed = [script.pack(names, arguments) for script, names, arguments in calls]
        results: list[Any] = await self._client.link.ask(packed)
        if any(isinstance(result, NoScriptError) for result in results):
            for script in (self._settle, self._close, self._take):
                await self._client.script_load(script.text)
            results = await self._client.link.ask(packed)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results
