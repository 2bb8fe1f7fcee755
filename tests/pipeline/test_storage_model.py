"""Storing against a model: two processes on one spool; Redis refuses, forgets to answer, or is late.

Each process stands still before every call to Redis and before and after every access to the disk; the
machine decides which one does its next step, and how that ends. (`modelling.py` says how to run it longer.)
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from receiver.errors import NotStored
from receiver.pipeline import emptier, keys
from receiver.pipeline import storage as storage_module
from receiver.pipeline.connection import connect
from receiver.pipeline.storage import Storage, Unanswered
from receiver.pipeline.writer import fence
from tests.pipeline import modelling
from tests.pipeline.envelopes import envelope

GROUP = 3
"""Events that are stored at once."""
LIMIT = 12
"""Events that the inbox holds."""

which = st.integers(0, 1)
endings = st.sampled_from(["lost after", "late", "well", "lost before"])


class Died(BaseException):
    """The process was killed."""


@dataclass(eq=False)
class Accepting:
    """A call of `append`: when it was made, when it was answered, and how."""

    id: str
    process: object
    called: int
    answered: int | None = None
    stored: bool | None = None
    """None where nobody was told."""


class Wire:
    """A process's connection, on which commands get lost, or arrive when nobody waits for them any more."""

    def __init__(self, client, process):
        self._client = client
        self._process = process
        self._packed = b""

    @property
    def connection_pool(self):
        """A pool of this connection alone: scripts are sent on it as they are packed."""
        return self

    async def get_connection(self):
        return self

    async def release(self, connection):
        """Nobody else waits for it."""

    async def send_packed_command(self, packed, check_health):
        self._packed = packed

    async def read_response(self):
        return await self._send(self._exchange, self._packed)

    async def _exchange(self, packed):
        pool = self._client.connection_pool
        connection = await pool.get_connection()
        try:
            await connection.send_packed_command(packed)
            return await connection.read_response()
        finally:
            await pool.release(connection)

    async def eval(self, *arguments):
        return await self._send(self._client.eval, *arguments)

    async def info(self, section):
        """There is room, or an append finds out."""
        return {"maxmemory": 0, "used_memory": 0}

    async def ping(self):
        """A process that stands still needs no freshening."""

    async def _send(self, command, *arguments):
        ending = await self._process.pause()
        if ending == "lost before":
            raise RedisConnectionError("lost before")
        if ending == "late":
            self._process.late.append((command, arguments))
            raise RedisConnectionError("late")
        self._process.busy += 1
        try:
            answer = await command(*arguments)
        finally:
            self._process.busy -= 1
        if ending == "lost after":
            raise RedisConnectionError("lost after")
        return answer


class Stepwise(Storage):
    """A storage that stands still before and after it uses the disk, and has no second thread."""

    process = None

    async def _on_disk(self, work, *arguments):
        await self.process.pause()
        result = work(*arguments)
        await self.process.pause()
        return result


class Mortal:
    """A database whose process may die at the end of a transaction."""

    def __init__(self, database):
        self._database = database
        self.dies = False

    def execute(self, command, *arguments):
        if command == "COMMIT" and self.dies:
            self.dies = False
            raise Died
        return self._database.execute(command, *arguments)

    def __getattr__(self, name):
        return getattr(self._database, name)


class Process:
    """A receiver process: it does one step when it is told to."""

    def __init__(self, client, folder):
        self.late = []
        self.busy = 0
        self.tasks = set()
        self.emptying = None
        self._paused = deque()
        self._steps = False
        self._folder = folder
        self.storage = Stepwise(Wire(client, self), folder, limit=LIMIT, spool_limit=2**24)
        self.storage.process = self

    async def open(self):
        """Open the spool, as a process does when it starts. It stands still from here on."""
        spool = await self.storage._open_spool()
        spool._database = Mortal(spool._database)
        self._steps = True

    @property
    def stands_still(self):
        return bool(self._paused)

    async def pause(self):
        if not self._steps:
            return "well"
        here = asyncio.get_running_loop().create_future()
        self._paused.append(here)
        return await here

    async def step(self, ending, at=0):
        """Go on from where it has stood still for the longest time, or from elsewhere: `at`."""
        here = self._paused[at % len(self._paused)]
        self._paused.remove(here)
        if not here.done():
            here.set_result(ending)
        await self.settle()

    async def settle(self):
        """Wait until everything stands still, or is done."""
        quiet = 0
        while quiet < 20:
            await asyncio.sleep(0)
            quiet = 0 if self.busy else quiet + 1
        self._paused = deque(here for here in self._paused if not here.done())
        if self.emptying is not None and self.emptying.done():
            task, self.emptying = self.emptying, None
            with suppress(NotStored, Unanswered, RedisError, OSError, Died):
                task.result()

    async def empty(self):
        self.emptying = asyncio.create_task(self.storage._emptier._empty(self.storage._spool))
        await self.settle()

    async def die(self):
        """Leave everything as it is. (What it has sent and Redis has not executed may still arrive.)"""
        tasks = [*self.tasks, self.storage._committer, self.emptying]
        tasks = [one for one in tasks if one is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.storage._spool._database = self.storage._spool._database._database
        self.storage._spool.close()
        self.storage._disk.shutdown()


class Stores(RuleBasedStateMachine):
    """The real thing, and what was promised to whom."""

    def __init__(self, url):
        super().__init__()
        self.runner = asyncio.Runner()
        self.runner.get_loop().set_exception_handler(lambda *_: None)  # who dies has nobody who asks why
        self.client = connect(url)
        self.blocking = redis.Redis.from_url(url)
        self.blocking.flushall()
        self.folder = Path(tempfile.mkdtemp(prefix="spool-model-"))
        self.processes = [self.run(self.start()) for _ in range(2)]
        self.late = []
        self.calls = []
        self.seen = []
        self.last = "0-0"
        self.clock = 0
        self.full = False
        self.some_lost = False

    def run(self, work):
        return self.runner.run(work)

    async def start(self):
        process = Process(self.client, self.folder)
        await process.open()
        return process

    @rule(which=which, count=st.integers(1, 5), steps=st.integers(0, 6))
    def append(self, which, count, steps):
        """Requests come in at one process, in one turn of its loop, and it does some steps."""
        process = self.processes[which]
        for _ in range(count):
            call = Accepting(f"{len(self.calls):04}", process, self.tick())
            self.calls.append(call)
            self.run(self.call(process, call))
        self.run(process.settle())
        self.go_on_with(process, steps)

    async def call(self, process, call):
        task = asyncio.create_task(self.append_one(process, call))
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
        await asyncio.sleep(0)

    async def append_one(self, process, call):
        try:
            await process.storage.append(envelope(id=call.id))
            call.stored = True
        except NotStored:
            call.stored = False
        call.answered = self.tick()

    def tick(self):
        self.clock += 1
        return self.clock

    def standing(self):
        return [one for one in self.processes if one.stands_still]

    @precondition(standing)
    @rule(which=which, ending=endings, at=st.integers(0, 2))
    def step(self, which, ending, at):
        """A process does a next step: it may be storing and emptying its spool at the same time."""
        standing = self.standing()
        self.step_of(standing[which % len(standing)], ending, at)

    def step_of(self, process, ending, at=0):
        self.some_lost |= ending != "well"
        self.run(process.step(ending, at))
        self.late += process.late
        process.late.clear()

    @precondition(standing)
    @rule(which=which, steps=st.integers(2, 12))
    def go_on(self, which, steps):
        """A process does some steps without any fault."""
        standing = self.standing()
        self.go_on_with(standing[which % len(standing)], steps)

    def go_on_with(self, process, steps):
        for _ in range(steps):
            if process.stands_still:
                self.step_of(process, "well")

    @precondition(lambda self: any(one.storage.spooling for one in self.processes))
    @rule(which=which, steps=st.integers(0, 12))
    def empty(self, which, steps):
        """A process begins to empty its spool, and gets so far."""
        process = self.processes[which]
        if process.emptying is None and process.storage.spooling:
            self.run(process.empty())
        self.go_on_with(process, steps)

    @precondition(lambda self: self.late)
    @rule()
    def arrive(self):
        """A command that nobody waits for any more comes to Redis."""
        self.run(self.arrive_one())

    async def arrive_one(self):
        command, arguments = self.late.pop(0)
        with suppress(RedisError):  # it may be full
            await command(*arguments)

    @precondition(standing)
    @rule(which=which, at_commit=st.booleans())
    def die(self, which, at_commit):
        """A process is killed, at once or at the end of its next transaction; another one takes its place."""
        process = self.standing()[which % len(self.standing())]
        if at_commit:
            process.storage._spool._database.dies = True
            for _ in range(4):
                if process.stands_still and process.storage._spool._database.dies:
                    self.step_of(process, "well")
        self.run(process.die())
        self.processes[self.processes.index(process)] = self.run(self.start())

    @rule(what=st.sampled_from(["consume", "fill", "consume", "fence_off"]))
    def chore(self, what):
        """Something happens around the processes."""
        getattr(self, what)()

    def fill(self):
        """Redis has no memory left, or has some again."""
        self.full = not self.full
        self.blocking.config_set("maxmemory", "1" if self.full else "0")

    def consume(self):
        """What the inbox holds is handled, and leaves it."""
        self.watch()
        self.blocking.xtrim(keys.INBOX, maxlen=0, approximate=False)

    def fence_off(self):
        """Somebody wants to know what the writers have stored."""
        for process in self.processes:
            with suppress(RedisError):  # it may be full
                self.run(fence(self.client, process.storage._writers._writer.name))

    def watch(self):
        for entry, fields in self.blocking.xrange(keys.INBOX, min=f"({self.last}"):
            self.last = entry.decode()
            self.seen.append(fields[b"id"].decode())

    @invariant()
    def nothing_stands_twice(self):
        """What stands in the inbox stands there once; what was answered is there, or in the spool."""
        self.watch()
        assert len(self.seen) == len(set(self.seen))
        assert self.blocking.xlen(keys.INBOX) <= LIMIT
        database = self.processes[0].storage._spool._database
        spooled = {event_id for (event_id,) in database.execute("SELECT id FROM events")}
        there = spooled | set(self.seen)
        assert all(call.id in there for call in self.calls if call.stored)
        if not self.some_lost:
            assert not any(call.id in there for call in self.calls if call.stored is False)

    def teardown(self):
        """In the end each accepted event stands in the inbox once, in the order of acceptance."""
        self.blocking.config_set("maxmemory", "0")
        try:
            if sys.exc_info()[0] is None:  # else there is no use in going on
                self.finish_all()
        finally:
            for process in self.processes:
                self.run(process.die())
            self.run(self.client.aclose())
            self.runner.close()
            self.blocking.close()
            shutil.rmtree(self.folder)

    def finish_all(self):
        for _ in range(300):
            for process in self.processes:
                while process.stands_still:
                    self.step_of(process, "well")
            self.consume()
            if not any(process.storage.spooling for process in self.processes):
                break
            self.run(self.processes[0].empty())
        while self.late:
            self.arrive()
        assert self.run(self.drained())
        self.nothing_stands_twice()
        self.check_order()

    async def drained(self):
        return self.processes[0].storage._spool.count() == 0

    def check_order(self):
        """What was answered before another was called, or came to the same process before it, is first."""
        place = {name: number for number, name in enumerate(self.seen)}
        stored = [call for call in self.calls if call.stored]
        assert all(call.id in place for call in stored)
        for call in stored:
            for other in stored:
                is_first = call.answered < other.called
                is_first |= call.process is other.process and call.called < other.called
                assert not is_first or place[call.id] < place[other.id]


@pytest.mark.timeout(modelling.PATIENCE)
def test_model(redis_server, monkeypatch):
    """Whatever gets lost, is late, or dies: what was accepted stands in the inbox once, in order."""
    for module in (storage_module, emptier):
        monkeypatch.setattr(module, "GROUP_LIMIT", GROUP)
    modelling.run(lambda: Stores(redis_server.url), examples=150, steps=40)
