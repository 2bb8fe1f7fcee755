"""The fuzz run in short, and that it would see what it looks for. (The whole of it: `scripts/fuzz`.)"""

from __future__ import annotations

import asyncio
import json
import math
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import origin, plan, requests, served, targets
from benchmarks.fuzz.plan import Plan
from benchmarks.fuzz.requests import Request
from benchmarks.fuzz.stand import Stand
from benchmarks.fuzz.watch import Watch
from benchmarks.fuzz.words import CATEGORIES, WORDS
from receiver import intake, signature
from receiver.endpoint import Endpoint
from receiver.events import Event
from receiver.pipeline import keys

BODY = b'{"category":"weather:storm","app_id":"%b"}' % origin.APP_ID.encode()
usual = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def stand():
    """A receiver in this process."""
    stand = Stand()
    yield stand
    stand.close()


def webhook(body: bytes = BODY, given: bytes | None = None) -> Request:
    """A webhook with the right signature, or another."""
    headers = [(b"x-sendbird-signature", origin.sign(body) if given is None else given)]
    return Request(requests.WEBHOOK, headers, body, frozenset({200}))


def once(request: Request) -> Plan:
    """A plan that sends one request."""
    length = (b"content-length", b"%d" % len(request.body))
    return Plan([requests.written(request, [length], request.body).raw], [request], "wait")


@pytest.mark.parametrize("name", targets.TARGETS)
def test_inputs_by_chance(stand, name):
    """Of inputs made by the grammar, none is answered 5xx, stored unproved, or left without an end."""
    target = targets.target(name, stand)
    for data in islice(targets.chance(name, seed=20161121), 600):
        assert target(data) == "", data
    assert stand.stored > 50
    assert len(stand.answered) >= 3


def test_any_connection(stand):
    """Hypothesis finds nothing wrong with what comes of any connection."""

    @usual
    @given(st.binary(max_size=400))
    def tried(data):
        assert stand(plan.read(data)) == ""

    tried()


values = st.recursive(
    st.sampled_from([None, True, 0, 1.5, "", 10**400, math.nan, -math.inf, "\ud83d", "\x00", *WORDS[:24]])
    | st.integers()
    | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS[:18]), inner, max_size=3)
    ),
    max_leaves=5,
)
ids = st.sampled_from(["\ud83d", "x" * 500 + "\udc00", "", "0"]) | st.text(max_size=5) | st.integers()
named = st.dictionaries(st.sampled_from(["channel_url", "user_id", "message_id"]), ids, min_size=1)


def test_any_body(stand):
    """A genuine body of any JSON, NaN and half an emoji in it, is refused, or stored and read."""

    @usual
    @given(
        st.sampled_from([0, 1, 2, 4, 6]),
        st.sampled_from(CATEGORIES),
        st.dictionaries(st.sampled_from(WORDS[1:18]), values, max_size=5),
        st.dictionaries(
            st.sampled_from(["channel", "user", "sender", "message", "payload"]), named, max_size=2
        ),
    )
    def tried(way, category, found, more):
        body = json.dumps({"category": category} | found | more).encode()
        assert stand.judge(plan.judged(bytes([way]) + body)) == ""

    tried()


class TestOracle:
    """What a run would see, if it were there."""

    def test_well(self, stand):
        """A genuine request is answered 200, and stored."""
        assert stand(once(webhook())) == ""
        assert [one.body for one in stand.kept.stored] == [BODY]

    def test_unproved(self, stand, monkeypatch):
        """What is stored without a proof."""
        monkeypatch.setattr(intake.hmac, "compare_digest", lambda one, other: True)
        assert stand(once(webhook(given=b"0" * 64))).startswith("stored without a proof")

    def test_status(self, stand):
        """An answer that isn't the expected one."""
        assert stand(once(webhook(given=b"0" * 64))) == "answered 401, expected [200]"

    def test_failure(self, stand, monkeypatch):
        """A failure."""
        monkeypatch.setattr(intake.Intake, "_envelope", lambda *_: 1 / 0)
        assert stand(once(webhook())).startswith("logged: receiver.app: ")
        assert stand.judge(webhook()) == "answered 500, expected [200]"  # a failure is logged once a minute

    def test_changed(self, stand, monkeypatch):
        """A body that is stored otherwise than it was sent."""
        kept = stand.kept.append
        monkeypatch.setattr(stand.kept, "append", lambda one: kept(one._replace(body=one.body + b" ")))
        assert stand(once(webhook())).startswith("stored without a proof")

    def test_write(self, stand, monkeypatch):
        """A write beside the storage."""
        kept = stand.kept.append

        async def append(envelope):
            await stand.redis.set("x", 1)
            return await kept(envelope)

        monkeypatch.setattr(stand.kept, "append", append)
        assert stand(once(webhook())) == "written: {'set': 1}"

    def test_hang(self, stand, monkeypatch):
        """A request that is never answered."""
        monkeypatch.setattr(stand.kept, "append", lambda one: asyncio.Event().wait())
        assert "open after" in stand(once(webhook()))

    def test_reading(self, stand, monkeypatch):
        """A stored event that can't be read."""
        monkeypatch.setattr(Event, "app_id", property(lambda self: 1 / 0))
        assert stand(once(webhook())).startswith("reading a stored event: ZeroDivisionError")

    def test_secret(self, stand, monkeypatch):
        """A token in the log: whatever has written it, past all that keeps it out."""

        def tell(self, *_):
            stand.log.write(origin.API_TOKEN)

        monkeypatch.setattr(Endpoint, "_count", tell)
        assert stand(once(webhook())).startswith("a secret in the log")

    def test_lost_answer(self):
        """An answer that is missing, or one too many."""
        made = once(webhook())
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
        assert plan.fault(made, answer, whole=True) == ""
        assert plan.fault(made, b"", whole=True) == "no answer"
        assert plan.fault(made, answer * 2, whole=True) == "more answers than requests"
        assert plan.fault(made, answer[:-1], whole=True).startswith("unreadable")
        assert plan.fault(made, answer.replace(b"200", b"503"), whole=False) == "answered 503"


def test_same_inputs():
    """A seed gives the same inputs again."""
    for name in targets.TARGETS:
        first, again, other = (list(islice(targets.chance(name, seed), 50)) for seed in (1, 1, 2))
        assert first == again != other


def test_proof():
    """The proof of origin is worked out as Sendbird does it."""
    assert origin.sign(BODY) == signature.sign(origin.API_TOKEN.encode(), BODY)
    assert origin.is_proved("webhook", BODY, b"x" + origin.sign(BODY))
    assert not origin.is_proved("webhook", BODY, origin.sign(BODY + b" "))
    assert not origin.is_proved("bot", BODY, b"")


def test_through_a_socket(tmp_path, monkeypatch):
    """Real connections to a real process: nothing is found, and those who prove nothing write nothing."""
    monkeypatch.setattr(served, "PHASE", 150)
    served.run(300, 60, 7, tmp_path)
    told = json.loads((tmp_path / "socket.json").read_text())
    assert told["findings"] == {}
    assert told["inputs"] == 300
    assert told["of these proved nothing, and wrote nothing"] == 150
    assert told["stored"] > 10


def test_writes_are_seen(redis_url, blocking, tmp_path):
    """The run sees each command that writes, and each event that is stored."""
    ledger = served.Ledger(redis_url)
    before, state = ledger.writes(), ledger.state()
    blocking.get("x")
    blocking.hgetall("y")
    assert ledger.writes() == before
    blocking.set("x", 1)
    blocking.eval("return 1", 0)
    assert ledger.writes() - before == {"set": 1, "eval": 1}
    assert ledger.state() != state
    blocking.xadd(keys.INBOX, {"odd": 1})
    assert ledger.fresh() == {}


def test_findings_are_kept(tmp_path):
    """A finding is counted, and its input kept."""
    watch = Watch("part", 2, 60, tmp_path)
    watch.note(b"good", "")
    watch.note(b"bad", "it broke")
    watch.end()
    told = json.loads(watch.report.read_text())
    assert (told["inputs"], told["findings"], told["ended"]) == (2, {"it broke": 1}, True)
    [name] = told["files"]
    assert (tmp_path / name).read_bytes() == b"bad"
