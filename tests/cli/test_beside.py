"""What a running `receiver dev` leaves for the verbs beside it."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from receiver.cli import beside
from receiver.errors import ReceiverError


def test_told(tmp_path, monkeypatch):
    """While one runs, what isn't set is taken from it; what it left is for its owner's eyes only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECEIVER_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / beside.FILE).touch(mode=0o644)
    with beside.locked(tmp_path / "data"):
        assert beside.running(tmp_path / "data") is None  # what was there is an earlier one's
        told = beside.Dev({"SENDBIRD_API_TOKEN": "its-token"}, "http://127.0.0.1:8500", ("a_bot",))
        beside.tell(tmp_path / "data", told)
        assert beside.running(tmp_path / "data") == told
        assert "its-token" not in repr(told)
        assert (tmp_path / "data" / beside.FILE).stat().st_mode & 0o777 == 0o600
        assert beside.load().api_keys == (b"its-token",)
        with (
            pytest.raises(ReceiverError, match="another `receiver dev` uses"),
            beside.locked(tmp_path / "data"),
        ):
            pass
    assert beside.load().api_keys == ()
    assert beside.running(tmp_path / "data") is None


def test_open_data_folder(tmp_path):
    """A data folder that is open to others is not closed, for it may serve them; but it is told."""
    tmp_path.chmod(0o755)
    with capture_logs() as logs, beside.locked(tmp_path):
        pass
    assert [line["do"] for line in logs] == [f"chmod 700 {tmp_path}"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_new_data_folder(tmp_path):
    """A new one is for its owner only."""
    with beside.locked(tmp_path / "one" / "two"):
        assert (tmp_path / "one").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "one" / "two").stat().st_mode & 0o777 == 0o700
