"""A person's events in the spool, and in the bytes of its files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from receiver.errors import ReceiverError, Unreadable
from receiver.events.envelope import Envelope
from receiver.pipeline.removal import Removal
from receiver.pipeline.sealing import opened
from receiver.pipeline.spool import FILE, PATIENCE, Spool

PAGE = 200
SPOOL, FILES = "spool", "files of the spool"
_CHUNK = 2**20


def walk(removal: Removal, spool: Spool) -> None:
    """Find, and remove, what the spool holds; then what its files have of it.

    Raises:
        ReceiverError: the spool is being emptied, and that takes too long.
    """
    with _still(spool):
        total, done, position = spool.count(), 0, 0
        while found := spool.behind(position, PAGE):
            position = found[-1].position
            hits = [one.position for one in found if removal.names(_opened(removal, one.envelope))]
            removal.tally.found[SPOOL] += len(hits)
            if hits and removal.act:
                spool.take_out(hits)
                removal.tally.removed[SPOOL] += len(hits)
            done += len(found)
            removal.tell(SPOOL, done, max(total, done))
        if removal.act:
            spool.clear_log()
    # What is deleted is overwritten (secure_delete), and the log is emptied: else it is still there.
    if not removal.tally.found[SPOOL] or removal.act:
        removal.tally.found[FILES] += _bytes_are_left(removal, spool.path)


def _opened(removal: Removal, envelope: Envelope) -> Envelope:
    """Return the event with a body that can be read; else as it is, and `names` counts it as unreadable."""
    try:
        return opened(envelope, removal.client.keyring)
    except Unreadable:
        return envelope


@contextmanager
def _still(spool: Spool) -> Iterator[None]:
    """Have nobody empty the spool meanwhile: what is on its way to the inbox would be in neither."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with spool.emptying() as alone:
            if alone:
                yield
                return
        if time.monotonic() > deadline:
            raise ReceiverError("the spool is being emptied just now. Try again when that is done.")
        time.sleep(0.05)


def _bytes_are_left(removal: Removal, path: Path) -> int:
    """Return in how many of the spool's files the id still stands, as JSON writes it."""
    forms = removal.person.forms()
    longest = max(map(len, forms))
    number = 0
    for file in (path, path.with_name(path.name + "-wal")):
        number += file.exists() and _has(file, forms, longest)
    return number


def _has(file: Path, forms: set[bytes], longest: int) -> bool:
    before = b""
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            if any(form in before + chunk for form in forms):
                return True
            before = chunk[-longest:]
    return False


def there_is_one(folder: Path) -> bool:
    """Tell whether this machine has a spool."""
    return (folder / FILE).exists()
