"""The spool's file: what it took is there after a crash, in order, and its size has an end."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import pytest

from receiver.errors import NotStored
from receiver.pipeline.spool import CERTAIN, Spool
from receiver.pipeline.writer import Group
from tests.pipeline.envelopes import envelope

LIMIT = SIZE = 2**24


def ids(spool, count=1000):
    return [one.envelope.id for one in spool.first(count, SIZE)]


def test_events_come_back_as_they_were(tmp_path):
    """What was added is given back the same, bytes and all, in its order, a group at a time."""
    spool = Spool(tmp_path, limit=LIMIT)
    events = [envelope(bytes([n]) * 10, conversation="é\u0000", identity="i", received=n) for n in range(50)]
    spool.add(events[:30])
    spool.add(events[30:], Group("w", 7))
    assert spool.count() == 50
    first = spool.first(100, SIZE)
    assert [one.envelope for one in first] == events[:30]
    assert {one.group for one in first} == {CERTAIN}
    spool.remove(first)
    then = spool.first(100, SIZE)
    assert [one.envelope for one in then] == events[30:]
    assert {one.group for one in then} == {Group("w", 7)}


def test_removed_events_are_gone(tmp_path):
    """Removing takes the oldest; the rest stays in order, and nothing of what went is left in the file."""
    spool = Spool(tmp_path, limit=LIMIT)
    events = [envelope(b"secret words " * 500) for _ in range(20)]
    spool.add(events)
    spool.remove(spool.first(12, SIZE))
    assert ids(spool) == [one.id for one in events[12:]]
    spool.remove(spool.first(100, SIZE))
    assert (spool.count(), spool.first(1, SIZE), spool.holds) == (0, [], False)
    spool.shrink()
    assert b"secret words" not in spool.path.read_bytes()
    assert spool.size < 64 * 1024


def test_an_emptied_spool_has_no_bytes_of_it(tmp_path):
    """What was in it is neither in the file nor in its log, also with another process in it."""
    spool, other = Spool(tmp_path, limit=LIMIT), Spool(tmp_path, limit=LIMIT)
    spool.add([envelope(b"secret words " * 500) for _ in range(20)])
    assert other.count() == 20
    assert any(b"secret words" in file.read_bytes() for file in tmp_path.glob("events.spool*"))
    spool.remove(spool.first(100, SIZE))
    spool.shrink()
    assert not any(b"secret words" in file.read_bytes() for file in tmp_path.glob("events.spool*"))
    spool.close()
    other.close()


def test_events_are_taken_out_from_anywhere(tmp_path):
    """Events go from the midst of it, whatever group they came in, and the others stay in their order."""
    spool = Spool(tmp_path, limit=LIMIT)
    events = [envelope() for _ in range(6)]
    spool.add(events[:3])
    spool.add(events[3:], Group("w", 7))
    found = spool.behind(1, 3)
    assert [one.envelope for one in found] == events[1:4]
    spool.take_out([one.position for one in found])
    assert [one.envelope for one in spool.behind(0, 10)] == [events[0], *events[4:]]
    spool.remove(spool.first(10, SIZE))
    assert ids(spool) == [one.id for one in events[4:]]
    spool.take_out([one.position for one in spool.behind(0, 10)])
    assert not spool.holds


def test_marks_are_kept(tmp_path):
    """The oldest events can be marked with the group in which they go to Redis."""
    spool = Spool(tmp_path, limit=LIMIT)
    spool.add([envelope() for _ in range(3)])
    spool.mark(spool.first(2, SIZE), Group("w", 3))
    assert [one.group for one in spool.first(3, SIZE)] == [Group("w", 3), Group("w", 3)]
    spool.remove(spool.first(3, SIZE))
    assert [one.group for one in spool.first(3, SIZE)] == [CERTAIN]


def test_a_full_spool_takes_nothing_and_heals(tmp_path):
    """At its limit, `add` raises NotStored, stores nothing of the group; with room it works again."""
    spool = Spool(tmp_path, limit=256 * 1024)
    taken = 0
    while taken < 200:
        pair = [envelope(os.urandom(8_000)) for _ in range(2)]
        try:
            spool.add(pair)
        except NotStored:
            break
        taken += 2
    with pytest.raises(NotStored, match="full"):
        spool.add(pair)
    assert 20 <= taken < 40
    assert spool.count() == len(spool.first(1000, SIZE)) == taken
    assert spool.path.stat().st_size <= 256 * 1024
    spool.mark(spool.first(10, SIZE), Group("w", 1))  # which a full one can do
    spool.remove(spool.first(10, SIZE))
    spool.add([envelope(os.urandom(8_000))])
    assert spool.count() == taken - 9


def test_processes_share_it(tmp_path):
    """Two that share a folder share order, content, and whether it holds anything."""
    one, other = Spool(tmp_path, limit=LIMIT), Spool(tmp_path, limit=LIMIT)
    events = [envelope() for _ in range(6)]
    for event, spool in zip(events, [one, other] * 3, strict=True):
        spool.add([event])
        assert one.holds
        assert other.holds
    assert ids(one) == ids(other) == [event.id for event in events]
    one.remove(one.first(6, SIZE))
    assert not other.holds
    assert other.count() == 0


def test_one_empties_it(tmp_path):
    """While one empties it, another may add, and not empty it; afterwards it may."""
    one, other = Spool(tmp_path, limit=LIMIT), Spool(tmp_path, limit=LIMIT)
    with one.emptying() as alone:
        assert alone
        with other.emptying() as too:
            assert not too
        other.add([envelope()])
    with other.emptying() as alone:
        assert alone


def test_settling(tmp_path):
    """What a process that died between two steps left wrong is set right."""
    spool = Spool(tmp_path, limit=LIMIT)
    spool._holding[0] = 1
    assert not Spool(tmp_path, limit=LIMIT).holds
    spool.add([envelope()])
    spool._holding[0] = 0
    assert Spool(tmp_path, limit=LIMIT).holds
    assert spool.holds


CHILD = """
import sys, os
from pathlib import Path
from receiver.pipeline.spool import Spool
from receiver.events.envelope import Envelope
spool = Spool(Path(sys.argv[1]), limit=2**24)
number = 0
while True:
    spool.add([Envelope(f"{number + n}", "webhook", "c", "c", "", 1, b"x" * 500) for n in range(5)])
    number += 5
    print(number, flush=True)
"""


def test_what_was_taken_survives_a_kill(tmp_path):
    """All that a killed process had taken is there for the next one, once, and in order."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as child:
        told = 0
        for line in child.stdout:
            told = int(line)
            if told >= 100:
                break
        os.kill(child.pid, signal.SIGKILL)
    spool = Spool(tmp_path, limit=LIMIT)
    assert spool.holds
    found = ids(spool, 10_000)
    assert len(found) >= told
    assert found == [str(n) for n in range(len(found))]


def test_nobody_else_may_read_it(tmp_path):
    """Its files are this user's alone."""
    spool = Spool(tmp_path / "spool", limit=LIMIT)
    spool.add([envelope()])
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700


def test_every_transaction_is_synced(tmp_path):
    """The database runs in WAL mode and syncs each transaction."""
    spool = Spool(tmp_path, limit=LIMIT)
    assert spool._database.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    assert spool._database.execute("PRAGMA synchronous").fetchall() == [(2,)]


def test_a_broken_file_is_told(tmp_path):
    """A file that is no spool can't be used, and stays what it is."""
    (tmp_path / "events.spool").write_bytes(b"no database at all" * 1000)
    with pytest.raises(NotStored, match="can't be read"):
        Spool(tmp_path, limit=LIMIT)
    assert (tmp_path / "events.spool").read_bytes().startswith(b"no database")
