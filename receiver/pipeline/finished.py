"""Deliveries that ended as nearly all do: in their first attempt, without an error.

They get no hash of their own in Redis: that would cost more than the event. Each turn of a drain appends one
record of all it has finished to the stream `receiver:finished`, in the order in which they ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from receiver.pipeline import keys
from receiver.pipeline.connection import Client

PAGE = 200
"""Records that are read at once."""
FinalStatus = Literal["done", "skipped"]


class Finished(NamedTuple):
    """A delivery that has ended, and the worker that ran it.

    `ended` is in milliseconds since the epoch, `took` in microseconds.
    """

    entry: str
    ended: int
    took: int


class Found(NamedTuple):
    """What the stream says of a delivery."""

    status: FinalStatus
    worker: str
    finished: Finished


def pack(finished: Iterable[Finished]) -> bytes:
    """Return the record of deliveries that ended alike: their times one after the other's, as differences.

    `1795247075794-3+15,12 0-4+0,11` is an entry of 1795247075794 ms that ended 15 ms later and took 12 us,
    and one of the same millisecond that ended when the first one did.
    """
    parts, before, ended = [], 0, 0
    for one in finished:
        accepted, _, number = one.entry.partition("-")
        ms = int(accepted)
        ended = ended or ms
        parts.append(f"{ms - before}-{number}+{one.ended - ended},{one.took}")
        before, ended = ms, one.ended
    return " ".join(parts).encode()


def unpack(record: bytes) -> Iterator[Finished]:
    """Read a record."""
    before = ended = 0
    for part in record.decode().split(" "):
        entry, _, times = part.partition("+")
        shift, _, number = entry.rpartition("-")
        later, _, took = times.partition(",")
        before += int(shift)
        ended = (ended or before) + int(later)
        yield Finished(f"{before}-{number}", ended, int(took))


async def find(client: Client, wanted: Mapping[str, Collection[str]]) -> dict[tuple[str, str], Found]:
    """Return what is recorded of the `wanted` handlers' deliveries, by entry and handler.

    A record is younger than what it is of, so the search begins with the oldest entry. It ends with the last
    one that is wanted: what hasn't finished costs a look at all of the records.
    """
    left = {(entry, handler) for entry, handlers in wanted.items() for handler in handlers}
    found: dict[tuple[str, str], Found] = {}
    start = min((int(entry.partition("-")[0]) for entry, _ in left), default=0)
    position = f"{start}-0"
    while left:
        page = await client.xrange(keys.FINISHED, min=position, count=PAGE)
        if not page:
            break
        for _, fields in page:
            handler, worker = fields[b"handler"].decode(), fields[b"worker"].decode()
            status: FinalStatus = "done" if fields[b"status"] == b"done" else "skipped"
            for one in unpack(fields[b"deliveries"]):
                if (one.entry, handler) in left:
                    left.discard((one.entry, handler))
                    found[one.entry, handler] = Found(status, worker, one)
        position = f"({page[-1][0].decode()}"
    return found
