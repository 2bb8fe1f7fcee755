"""The spool: a file on local disk that takes events while Redis can't.

All receiver processes that share a data folder share one spool: its order is theirs, whichever process
took an event, and what a process that died has left is nothing special. One of them empties it at a time.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from receiver import private
from receiver.errors import NotStored
from receiver.events.envelope import Envelope, Source
from receiver.pipeline.writer import Group

FILE = "events.spool"
PAGE = 4096
"""Bytes of SQLite's pages: what its limit is counted in."""
PATIENCE = 5.0
"""Seconds to wait for another process's transaction."""

_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    category TEXT NOT NULL,
    conversation TEXT NOT NULL,
    identity TEXT NOT NULL,
    received INTEGER NOT NULL,
    body BLOB NOT NULL,
    writer TEXT NOT NULL,
    number INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS mark (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL,
    writer TEXT NOT NULL,
    number INTEGER NOT NULL
);
INSERT OR IGNORE INTO mark VALUES (1, 0, '--------------------------------', 0);
"""
_INSERT = """
INSERT INTO events (id, source, category, conversation, identity, received, body, writer, number)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FIRST = """
SELECT position, id, source, category, conversation, identity, received, body,
    iif(position <= mark.last, mark.writer, events.writer),
    iif(position <= mark.last, mark.number, events.number)
FROM events, mark WHERE position > ? ORDER BY position LIMIT ?
"""
_COUNT = "SELECT ifnull(max(position) - min(position) + 1, 0) FROM events"


CERTAIN = Group("", 0)
"""For events that are not in Redis."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """An event in the spool, and the group in which Redis may have it already."""

    position: int
    envelope: Envelope
    group: Group


class Spool:
    """The file in `folder`. Its methods block, and one thread at a time may call them; `holds` is quick.

    `limit` is in bytes, of the file; what is in it stays, where it is more than that. What `add` has returned
    from survives a kill and a power cut: SQLite's write-ahead log is synced with each transaction
    (synchronous=FULL).

    Raises:
        NotStored: the file can't be made or read.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        self.path = folder / FILE
        try:
            private.make_folder(folder)
            private.make_file(self.path)
            self._emptying = _open_file(folder / "emptying.lock")
            self._holding = _map_byte(folder / "holding")
            _sync(folder)  # SQLite syncs what is in the file, and not that there is one
            self._database = self._open_database(limit)
            self.settle()
        except OSError as error:
            raise NotStored(f"the spool can't be made: {error.strerror}: {folder}.") from error
        except sqlite3.Error as error:
            raise NotStored(f"the spool can't be read: {error}: {self.path}.") from error

    def _open_database(self, limit: int) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=PATIENCE)
        database.execute(f"PRAGMA page_size = {PAGE}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA secure_delete = ON")  # what people wrote does not stay behind
        database.executescript(_TABLES)
        database.execute(f"PRAGMA max_page_count = {max(8, limit // PAGE)}")
        return database

    @property
    def holds(self) -> bool:
        """Whether events are in it, put there by whichever process: new ones must go behind them."""
        return self._holding[0] != 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def count(self) -> int:
        """Return how many events are in it.

        Raises:
            NotStored: the file can't be read.
        """
        try:
            return self._count()
        except sqlite3.Error as error:
            raise NotStored(f"the spool can't be read: {error}: {self.path}.") from error

    def _count(self) -> int:
        [(count,)] = self._database.execute(_COUNT)
        return int(count)

    def add(self, events: Sequence[Envelope], group: Group = CERTAIN) -> None:
        """Store events; return when they are on disk. All or none are.

        Raises:
            NotStored: the spool has reached its limit, or the disk is full or broken.
        """
        rows = [(*envelope[:7], *group) for envelope in events]  # its fields are the columns, in their order
        try:
            with self._transaction():
                self._holding[0] = 1
                self._database.executemany(_INSERT, rows)
        except sqlite3.Error as error:
            raise NotStored(f"Redis is away, and the spool can't take it: {error}.", retry_after=5) from error

    def settle(self) -> None:
        """Make `holds` tell what is there: a process may have died between the two."""
        with self._transaction():
            self._holding[0] = self._count() > 0

    @contextmanager
    def emptying(self) -> Iterator[bool]:
        """Empty the spool within the block, alone; gives False where another process does so."""
        try:
            fcntl.flock(self._emptying, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._emptying, fcntl.LOCK_UN)

    def first(self, count: int, size: int) -> list[Spooled]:
        """Return the oldest events that share a group: up to `count`, and `size` bytes of bodies."""
        found: list[Spooled] = []
        for row in self._database.execute(_FIRST, (0, count)):
            one = _open(row)
            size -= len(one.envelope.body)
            if found and (size < 0 or one.group != found[0].group):
                break
            found.append(one)
        return found

    def mark(self, events: Sequence[Spooled], group: Group) -> None:
        """Note that the oldest events are on their way to Redis, or CERTAINly not there.

        This changes one row in place: it works in a spool that is full, too.
        """
        change = "UPDATE mark SET last = ?, writer = ?, number = ?"
        self._database.execute(change, (events[-1].position, *group))

    def remove(self, events: Sequence[Spooled]) -> None:
        """Forget the oldest events, which are stored elsewhere now."""
        with self._transaction():
            self._database.execute("DELETE FROM events WHERE position <= ?", (events[-1].position,))
            self._holding[0] = self._count() > 0

    def behind(self, position: int, count: int) -> list[Spooled]:
        """Return the oldest `count` events behind `position`, of whichever groups."""
        return [_open(row) for row in self._database.execute(_FIRST, (position, count))]

    def take_out(self, positions: Sequence[int]) -> None:
        """Forget events from anywhere in it. (`count` still counts them, until those before have gone.)"""
        with self._transaction():
            self._database.executemany("DELETE FROM events WHERE position = ?", [(one,) for one in positions])
            self._holding[0] = self._count() > 0

    def clear_log(self) -> None:
        """Empty the write-ahead log, which has what was deleted, unless somebody reads it for long."""
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def shrink(self) -> None:
        """Give back the disk space of what is gone. With another process in it, that is left for later."""
        with suppress(sqlite3.OperationalError):
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file. What it holds is stored by whoever opens it next."""
        self._database.close()
        self._holding.close()
        os.close(self._emptying)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Hold the write lock: among processes, too."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            self._holding[0] = 1  # as far as is known; `settle` looks
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                self._database.execute("ROLLBACK")
            raise


def _open(row: tuple[Any, ...]) -> Spooled:
    position, event_id, source, category, conversation, identity, received, body, writer, number = row
    envelope = Envelope(event_id, cast(Source, source), category, conversation, identity, received, body)
    return Spooled(position, envelope, Group(writer, number))


def _open_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _map_byte(path: Path) -> mmap.mmap:
    """Return a byte that all processes share. It is set and cleared within transactions only."""
    descriptor = _open_file(path)
    try:
        os.posix_fallocate(descriptor, 0, 1)  # a mapped byte without a block would kill on a full disk
        return mmap.mmap(descriptor, 1)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def may_hold(folder: Path) -> bool:
    """Tell whether the spool of `folder` holds events, or may: it can't be read."""
    try:
        return peek(folder) > 0
    except (sqlite3.Error, OSError):
        return True


def peek(folder: Path) -> int:
    """Return how many events are in the spool of `folder`, without touching it; 0 where there is none.

    Raises:
        sqlite3.Error: the file can't be read.
    """
    rows = ask(folder, _COUNT)
    return int(rows[0][0]) if rows else 0


def ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask the spool of `folder` without touching it; nothing where there is none.

    Raises:
        sqlite3.Error: the file can't be read.
    """
    path = folder / FILE
    if not path.exists():
        return []
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()
