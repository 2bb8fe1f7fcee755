"""What nobody else on the machine may read."""

from __future__ import annotations

import os
import stat

import pytest
from structlog.testing import capture_logs

from receiver import private


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def open_umask():
    """A machine on which everything is open to all unless it is closed on purpose."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_new_folders(tmp_path):
    """A folder and those above it are made for us alone."""
    private.make_folder(tmp_path / "one" / "two")
    assert mode(tmp_path / "one") == mode(tmp_path / "one" / "two") == 0o700


def test_open_folder(tmp_path):
    """A folder of ours that was open is closed, and what lies above it is left alone."""
    (tmp_path / "one" / "two").mkdir(parents=True)
    private.make_folder(tmp_path / "one" / "two")
    assert mode(tmp_path / "one" / "two") == 0o700
    assert mode(tmp_path / "one") == 0o777


@pytest.mark.parametrize("ours", [True, False])
def test_not_ours_to_close(tmp_path, monkeypatch, ours):
    """A folder that is somebody else's, or that may serve others, is left as it is, and that is told."""
    folder = tmp_path / "folder"
    folder.mkdir()
    if not ours:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with capture_logs() as logs:
        private.make_folder(folder, tighten=not ours)
    assert mode(folder) == 0o777
    assert [line["do"] for line in logs] == [f"chmod 700 {folder}"]


def test_closed_folder_is_no_news(tmp_path):
    """Of a folder that is closed already nothing is said."""
    with capture_logs() as logs:
        private.make_folder(tmp_path / "folder")
        private.make_folder(tmp_path / "folder", tighten=False)
    assert logs == []


def test_file_in_place_of_a_folder(tmp_path):
    """A file where the folder should be is told."""
    (tmp_path / "file").touch()
    for path in ("file/folder", "file"):
        with pytest.raises(FileExistsError):
            private.make_folder(tmp_path / path)
    assert mode(tmp_path / "file") == 0o666


def test_make_file(tmp_path):
    """A file is made for us alone; one that was open is closed and keeps what it holds."""
    private.make_file(tmp_path / "new")
    (tmp_path / "open").write_text("kept")
    private.make_file(tmp_path / "open")
    assert mode(tmp_path / "new") == mode(tmp_path / "open") == 0o600
    assert (tmp_path / "open").read_text() == "kept"


def test_write(tmp_path):
    """A secret replaces an open file by a closed one, without ever being in an open one."""
    path = tmp_path / "secret"
    path.write_text("old")
    with path.open() as reader:
        private.write(path, b"new")
        assert reader.read() == "old"
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_write_fails(tmp_path):
    """A write that fails leaves nothing behind."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        private.write(tmp_path / "folder", b"secret")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
