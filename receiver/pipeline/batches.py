"""Batches as their handler gets them: with the events that were gathered."""

from __future__ import annotations

import structlog

from receiver.cipher import Keyring
from receiver.errors import Permanent
from receiver.events import Batch, Event
from receiver.events.catalogue import open_event
from receiver.events.envelope import Envelope
from receiver.pipeline import keys
from receiver.pipeline.connection import Client
from receiver.pipeline.deliveries import CANCELLED
from receiver.pipeline.inbox import is_before, open_entry, open_letter
from receiver.pipeline.sealing import opened

AT_ONCE = 500
"""Events that are read in one round trip."""

_log = structlog.get_logger("receiver.batches")


async def load(client: Client, entry: str, envelope: Envelope) -> Batch[Event] | None:
    """Return the batch at `entry` with its events, but those that were cancelled, or purged; None if none is
    left.

    Where events have left the inbox, the copies are read that a dead batch keeps, or the letter by which
    an event came back and was gathered.

    Raises:
        Permanent: none of its events can be found.
        Unreadable: one of them can't be decrypted here.
    """
    cancelled = await client.hget(keys.event(entry), CANCELLED)
    wanted = list(Batch(envelope).entries)
    if cancelled is not None:
        wanted = [one for one in wanted if not is_before(one, cancelled.decode())]
        if not wanted:
            return None
    found = await _read(client, keys.INBOX, wanted)
    if missing := [one for one in wanted if one not in found]:
        found |= await _read(client, keys.batch(envelope.id), missing)
    for one in missing:
        if one not in found:
            values = await client.hmget(keys.letter(one), *keys.LETTER)
            if letter := open_letter(values, client.keyring):
                found[one] = letter
    wanted = await _kept(client, wanted, found)
    if not wanted:
        return None
    if len(found) < len(wanted):
        _log.warning("events of a batch are missing", id=envelope.id, missing=len(wanted) - len(found))
    if not found:
        raise Permanent("the events of the batch are gone")
    return Batch(
        envelope, tuple(open_event(opened(found[one], client.keyring)) for one in wanted if one in found)
    )


async def ids(client: Client, envelope: Envelope) -> list[str]:
    """Return the ids of the batch's events, as far as they can be found."""
    wanted = list(Batch(envelope).entries)
    found = await _read(client, keys.batch(envelope.id), wanted) | await _read(client, keys.INBOX, wanted)
    return [found[one].id for one in wanted if one in found]


async def _kept(client: Client, wanted: list[str], found: dict[str, Envelope]) -> list[str]:
    """Return the entries without those that are missing because somebody's data was removed."""
    missing = [one for one in wanted if one not in found]
    if not missing:
        return wanted
    scores = await client.execute_command("ZMSCORE", keys.PURGED, *missing)
    purged = {one for one, score in zip(missing, scores, strict=True) if score is not None}
    return [one for one in wanted if one not in purged]


async def _read(client: Client, stream: str, entries: list[str]) -> dict[str, Envelope]:
    found: dict[str, Envelope] = {}
    for first in range(0, len(entries), AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        for entry in entries[first : first + AT_ONCE]:
            pipeline.xrange(stream, entry, entry)
        for entry, answer in zip(entries[first:], await pipeline.execute(), strict=False):
            if envelope := _open(answer, client.keyring):
                found[entry] = envelope
    return found


def _open(answer: list[tuple[bytes, dict[bytes, bytes]]], keyring: Keyring) -> Envelope | None:
    if not answer:
        return None
    _, fields = answer[0]
    return open_entry([part for pair in fields.items() for part in pair], keyring)
