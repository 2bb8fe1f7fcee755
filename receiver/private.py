"""Folders and files that nobody else on the machine may read: tokens and messages lie in them."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import structlog

_log = structlog.get_logger("receiver.private")


def make_folder(path: Path, *, tighten: bool = True) -> None:
    """Make a folder, and those above it that are missing, for us alone.

    One that is there and open to others is closed to them. If it isn't ours, or without `tighten`, a
    warning says what to do instead.
    """
    for folder in (*reversed(path.parents), path):
        folder.mkdir(mode=0o700, exist_ok=True)
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not mode & 0o077:
        return
    if tighten and found.st_uid == os.geteuid():
        path.chmod(mode & ~0o077)
    else:
        _log.warning("others may look into this folder", folder=str(path), do=f"chmod 700 {path}")


def make_file(path: Path) -> None:
    """Make an empty file for us alone; close one that is there to others."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        found = path.stat()
        if found.st_uid == os.geteuid() and found.st_mode & 0o077:
            path.chmod(0o600)


def write(path: Path, content: bytes) -> None:
    """Write a file for us alone, in one step: who reads it meanwhile gets all of the old one or the new."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
