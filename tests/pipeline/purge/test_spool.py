"""Removing what lies in the spool."""

from __future__ import annotations

import pytest

from receiver.errors import ReceiverError
from receiver.pipeline.spool import Spool
from tests.pipeline.envelopes import envelope
from tests.pipeline.purge.purging import LIMIT, remove


class TestSpool:
    """The spool's rows, and the bytes of its files."""

    async def test_rows_go(self, purge, tmp_path):
        """Of the spool, the person's events go, from wherever they stand, and the rest keeps its order."""
        spool = Spool(tmp_path, limit=LIMIT)
        events = [envelope(b'{"x":"%s"}' % (b"ann" if n % 3 else b"bob")) for n in range(30)]
        spool.add(events)
        found, removed, left = await remove(purge())
        assert (found["spool"], removed["spool"], left) == (20, 20, {})
        assert [one.envelope for one in spool.first(100, LIMIT)] == events[::3]
        for file in tmp_path.glob("events.spool*"):
            assert b"ann" not in file.read_bytes()
        spool.close()

    async def test_the_last_row_goes(self, purge, tmp_path):
        """A spool that is empty then holds nothing up."""
        spool = Spool(tmp_path, limit=LIMIT)
        spool.add([envelope(b'"ann"')])
        await remove(purge())
        assert (spool.holds, spool.count()) == (False, 0)
        spool.close()

    async def test_bytes_in_the_log_are_told(self, purge, tmp_path, monkeypatch):
        """Where the write-ahead log can't be emptied, the second look says so."""
        monkeypatch.setattr("receiver.pipeline.spool.PATIENCE", 0.05)
        spool, reader = Spool(tmp_path, limit=LIMIT), Spool(tmp_path, limit=LIMIT)
        spool.add([envelope(b'"ann"'), envelope(b'"bob"')])
        reader._database.execute("BEGIN")
        reader.count()  # it reads, and doesn't end
        assert (await remove(purge()))[2] == {"files of the spool": 1}
        reader._database.execute("COMMIT")
        assert (await remove(purge()))[2] == {}
        spool.close()
        reader.close()

    async def test_nobody_empties_it_meanwhile(self, purge, tmp_path, monkeypatch):
        """While a process empties the spool, the purge waits, and then says so."""
        monkeypatch.setattr("receiver.pipeline.purge_spool.PATIENCE", 0.1)
        spool = Spool(tmp_path, limit=LIMIT)
        with spool.emptying(), pytest.raises(ReceiverError, match="being emptied"):
            await purge().look()
        spool.close()
