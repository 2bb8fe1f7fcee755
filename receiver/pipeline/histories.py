"""Histories: all that happened to events, put together from what each part of the road has left.

Which handlers an event is for follows from the routes that it was dispatched by. What they made of it stands
in the event's hash (`deliveries.py`) or in the record of those that ended at once (`finished.py`); where it
stands in neither, the event waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from receiver.cipher import Keyring
from receiver.errors import Unreadable
from receiver.events.batches import COLLECTED
from receiver.pipeline import deliveries, finished, keys
from receiver.pipeline.connection import Client
from receiver.pipeline.deliveries import Attempt, Delivery, History
from receiver.pipeline.finished import Found
from receiver.pipeline.inbox import is_before
from receiver.pipeline.marks import Mark
from receiver.pipeline.routes import RoutingTable

Fields = dict[bytes, bytes]


async def load(client: Client, entries: Sequence[str]) -> list[History]:
    """Return what happened to the events at `entries`."""
    pipeline = client.pipeline(transaction=False)
    pipeline.get(keys.CURSOR)
    for entry in entries:
        pipeline.hgetall(keys.event(entry))
        pipeline.xrange(keys.INBOX, entry, entry)
        pipeline.xrevrange(keys.ROUTINGS, entry, count=1)
    cursor, *answers = await pipeline.execute()
    dispatched = (cursor or b"0-0").decode()
    histories = [deliveries.read(stored) for stored in answers[::3]]
    waiting = {
        entry: _asked(found, routings, history, client.keyring)
        for entry, history, found, routings in zip(
            entries, histories, answers[1::3], answers[2::3], strict=True
        )
        if not is_before(dispatched, entry)
    }
    ended = await finished.find(client, waiting)
    return [
        _complete(
            history,
            [
                (name, ended.get((entry, name)))
                for name, is_certain in waiting.get(entry, {}).items()
                if is_certain or (entry, name) in ended
            ],
        )
        for entry, history in zip(entries, histories, strict=True)
    ]


def _asked(
    found: list[tuple[bytes, Fields]],
    routings: list[tuple[bytes, Fields]],
    history: History,
    keyring: Keyring,
) -> dict[str, bool]:
    """Return the handlers that an event was dispatched to, and whose deliveries its hash doesn't tell of.

    Where its body can't be decrypted here, those that look into bodies are not certain: False.
    """
    if not (found and routings) or history.repeats:
        return {}
    [(_, fields)], [(_, routing)] = found, routings
    try:
        if fields[b"category"] == COLLECTED.encode():
            return {}
        mark = fields.get(keys.REPLAY.encode())
        only = Mark.from_json(mark).handlers if mark else None
        body = _body(fields, keyring)
        routes = _table(routing[b"routes"]).find(fields[b"category"].decode(), body, only)
    except (KeyError, TypeError, ValueError):  # an entry, or routes, that somebody has written by hand
        return {}
    told = {one.handler for one in history.deliveries if one.status != "waiting"}
    return {
        route.handler: body is not None or not route.reads_bodies
        for route in routes
        if route.handler not in told
    }


def _body(fields: Fields, keyring: Keyring) -> bytes | None:
    try:
        return keyring.open(fields[b"body"], fields[b"id"].decode())
    except Unreadable:
        return None


@lru_cache(maxsize=16)
def _table(stored: bytes) -> RoutingTable:
    return RoutingTable.from_json(stored)


def _complete(history: History, others: list[tuple[str, Found | None]]) -> History:
    """Add the deliveries that the hash doesn't tell of: those that ended, and those that wait."""
    names = {name for name, _ in others}
    known = [one for one in history.deliveries if one.handler not in names]
    known += [_delivery(name, found) for name, found in others]
    return replace(history, deliveries=tuple(sorted(known, key=lambda one: one.handler)))


def _delivery(handler: str, found: Found | None) -> Delivery:
    if found is None:
        return Delivery(handler, "waiting", ())
    if found.status == "skipped":
        return Delivery(handler, "skipped", ())
    ended, took = found.finished.ended, found.finished.took / 1000
    return Delivery(handler, "done", (Attempt(1, ended, "done", took, worker=found.worker),))
