"""The connections of a server process: how many there may be, and who has to go when there are too many.

A connection has proved itself once a request that came over it was found genuine. Strangers have not. When
there are too many, the stranger that has been here longest goes, and only where there is none, the connection
that has been idle longest, or has the oldest unfinished request: whoever has captured one genuine request can
prove as many connections as he likes. So however many connections an attacker opens, he pushes out his own.
"""

from __future__ import annotations

import resource
from collections import OrderedDict
from typing import Protocol

import structlog

from receiver.refusals import Refusals

_log = structlog.get_logger("receiver.connections")

SPARE = 2300
"""File descriptors for all else: 2048 that wait to be accepted, Redis, the spool, what is closing."""
HELD = 64 * 1024 * 1024
"""Bytes of unfinished bodies that a process holds. Beyond, the oldest of strangers go first."""


class Standing:
    """Whether a connection has proved itself. It goes with each of its requests, as `KEY` in the scope."""

    __slots__ = ("proved",)
    KEY = "receiver.standing"

    def __init__(self) -> None:
        self.proved = False


class Connection(Protocol):
    """What is asked of a connection."""

    standing: Standing
    held: int
    """Bytes of its unfinished body."""

    @property
    def idle(self) -> float | None:
        """When it is to be closed if nothing comes; None while a request is in flight."""

    def evict(self) -> None:
        """Close at once, without a word."""


class Connections:
    """The table. `most` are held, a head may have `max_head` bytes, and it has `patience` seconds to come."""

    def __init__(self, most: int = 2000, *, max_head: int = 32 * 1024, patience: float = 10.0) -> None:
        self.most = most
        self.max_head = max_head
        self.patience = patience
        self.evicted = 0
        self.held = 0
        self.refusals = Refusals()
        self._strangers: OrderedDict[Connection, None] = OrderedDict()
        self._proved: OrderedDict[Connection, None] = OrderedDict()
        self._unfinished: OrderedDict[Connection, None] = OrderedDict()  # by when their bodies began

    def settle(self) -> None:
        """Raise the limit on open files as far as it is needed and may be; hold less where that won't do."""
        wanted, self.most = self.most, affordable(self.most)
        if self.most < wanted:
            _log.warning(
                "the limit on open files allows fewer connections than RECEIVER_MAX_CONNECTIONS",
                wanted=wanted,
                held=self.most,
                needed=wanted + SPARE,
            )

    def __len__(self) -> int:
        return len(self._strangers) + len(self._proved)

    def add(self, one: Connection) -> bool:
        """Take a new connection in. False: there is no room, and nobody who could go."""
        if len(self) >= self.most and not self._make_room():
            self.evicted += 1
            return False
        self._strangers[one] = None
        return True

    def drop(self, one: Connection) -> None:
        """Forget a connection that is closed."""
        self.release(one)
        self._strangers.pop(one, None)
        self._proved.pop(one, None)

    def hold(self, one: Connection, size: int) -> None:
        """Note that `size` bytes of an unfinished body are held. Too many: the oldest go, strangers first."""
        self._unfinished[one] = None
        one.held += size
        self.held += size
        if self.held > HELD:
            for other in sorted(self._unfinished, key=lambda other: other.standing.proved):
                self._evict(other)
                if self.held <= HELD:
                    return

    def release(self, one: Connection) -> None:
        """Note that nothing of it is held any more."""
        self.held -= one.held
        one.held = 0
        self._unfinished.pop(one, None)

    def _make_room(self) -> bool:
        while self._strangers:
            one, _ = self._strangers.popitem(last=False)
            if one.standing.proved:
                self._proved[one] = None
                continue
            self._evict(one)
            return True
        idle = [(since, one) for one in self._proved if (since := one.idle) is not None]
        if idle:
            self._evict(min(idle, key=lambda found: found[0])[1])
        elif self._unfinished:  # nothing of it is stored yet, and nobody waits for its answer
            self._evict(next(iter(self._unfinished)))
        else:
            return False
        return True

    def _evict(self, one: Connection) -> None:
        self.drop(one)
        self.evicted += 1
        one.evict()


def affordable(wanted: int) -> int:
    """Return how many connections this process can hold, at most `wanted`: each takes a file descriptor.

    The limit on those is raised as far as it may be.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if raised > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    return max(10, min(wanted, max(soft - SPARE, soft // 2)))
