"""The benchmark's instruments: what they send, count, and write. (What they measure is no test's matter.)"""

from __future__ import annotations

import orjson
import pytest

from benchmarks.speed import bodies, clones, ingest, options, table, wrk
from benchmarks.speed.children import Failed
from benchmarks.speed.counter import Counter
from receiver.intake import Intake
from receiver.signature import HEADER

SAID = """Running 2s test @ http://127.0.0.1:1
  Latency Distribution
     50%  500.00us
     75%    1.10ms
     99%    1.25s
  24000 requests in 2.00s, 3MB read
{more}Requests/sec:  12000.50
"""
ID = "0123456789abcdef01234567"


def test_bodies():
    """Each is as long as it says, passes intake, and names a message and a channel of its own."""
    found = list(bodies.bodies(3, channels=2, first=5))
    assert {len(one) for one in found} == {bodies.SIZE}
    assert [bodies.number(orjson.loads(one)["payload"]["message_id"]) for one in found] == [5, 6, 7]
    envelopes = [Intake(()).vouched(one) for one in found]
    assert [one.conversation for one in envelopes] == ["channel_000001", "channel_000000", "channel_000001"]
    assert len({one.identity for one in envelopes}) == 3


def test_signed_requests():
    """A request carries what intake accepts."""
    head, _, content = bodies.signed("/x", bodies.body(1)).partition(b"\r\n\r\n")
    given = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(HEADER))
    assert Intake([bodies.TOKEN.encode()]).webhook(given, content).category == "group_channel:message_send"


def test_clones(blocking):
    """A job is there as often as wanted, each time under ids of its own, whatever it is kept in."""
    blocking.set(f"job:{ID}", f"I am {ID}")
    blocking.hset(f"hash:{ID}", mapping={"id": ID, "name": "x"})
    blocking.hset("messages", ID, f"[{ID}]")
    blocking.rpush("queue", ID)
    blocking.zadd("due", {ID: 5})
    blocking.xadd("stream", {"id": ID})
    blocking.sadd("queues", "queue")
    clones.clone(blocking, 2500)
    ids = {one.decode() for one in blocking.lrange("queue", 0, -1)}
    assert len(ids) == blocking.llen("queue") == 2500
    assert {blocking.get(f"job:{one}").decode() for one in ids} == {f"I am {one}" for one in ids}
    assert blocking.hgetall(f"hash:{max(ids)}") == {b"id": max(ids).encode(), b"name": b"x"}
    assert {one.decode() for one in blocking.hgetall("messages")} == ids
    assert blocking.zcount("due", 5, 5) == 2500
    assert {fields[b"id"].decode() for _, fields in blocking.xrange("stream")} == ids
    assert blocking.scard("queues") == 1


def test_what_wrk_says():
    """Latencies are in milliseconds, whatever their unit."""
    load = wrk._read(SAID.format(more=""), 0.5)
    assert (load.rate, load.p50, load.p99) == (12000.5, 0.5, 1250.0)


@pytest.mark.parametrize(
    "more", ["  Non-2xx or 3xx responses: 7\n", "  Socket errors: connect 0, read 3, write 0, timeout 0\n"]
)
def test_what_wrk_complains_of(more):
    """A run with refused or lost requests is no measurement."""
    with pytest.raises(Failed):
        wrk._read(SAID.format(more=more), 0.5)


def test_rotation():
    """Each round begins with another contestant, and has all of them."""
    assert [options.rotated("abc", number) for number in range(4)] == [[*"abc"], [*"bca"], [*"cab"], [*"abc"]]
    assert options.Options(only=("ours",)).wanted(ingest.SERVERS, lambda one: one.name) == [
        one for one in ingest.SERVERS if one.ours
    ]


def test_the_counter(tmp_path):
    """It adds up what the threads have counted."""
    counter = Counter(tmp_path / "count")
    assert counter.read() == 0
    counter.file.write_bytes(b"".join(number.to_bytes(8, "little") for number in (3, 4, 0)))
    assert counter.read() == 7


def test_the_table(tmp_path):
    """It shows medians with their spread, the ratios, and who was not here."""
    rounds = {
        name: [{"rate": rate * factor, "p50": 1.0, "p99": 2.0} for rate in (90, 100, 130)]
        for name, factor in ((ingest.PLAIN, 100), (ingest.EVERYSEC, 150))
    }
    absent = {ingest.SERVERS[-1].name: "not here"}
    data = {
        "machine": {
            "versions": {"Redis": "7"},
            **dict.fromkeys(("processor", "kernel", "python", "when", "commit"), "x"),
            "cores": 2,
            "memory": 2**30,
        },
        "stores": {one.name: one.stores for one in ingest.SERVERS},
        "body": 900,
        "connections": 64,
        "seconds": 2,
        "pinned": "x",
        "absent": absent,
        "rounds": rounds,
        "ratios": ingest.ratios(rounds),
    }
    text = table.write({"ingest": data}, tmp_path)
    assert "15,000 (13,500-19,500) | 1.0 | 2.0 | 1.50 |" in text
    assert "| not here |" in text
    assert "stored / plain route 1.50, p99 / p50 2.00." in text
    assert (tmp_path / table.FILE).read_text() == text
