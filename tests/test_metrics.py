"""The page for Prometheus."""

from __future__ import annotations

import pytest

from receiver import metrics
from receiver.connections import Connections
from receiver.metrics import IntakeMetrics
from tests.support import read_metrics


def test_empty():
    """A receiver that has seen nothing says so: gauges of 0, and no requests."""
    page = read_metrics(metrics.render(IntakeMetrics(), 0, 0, {}))
    assert page["receiver_inbox_events",] == 0
    assert page["receiver_lanes",] == 0
    assert page["receiver_dispatched_events_total",] == 0
    assert page["receiver_repeated_events_total",] == 0
    assert page["receiver_store_seconds_count",] == 0
    assert not [key for key in page if key[0] == "receiver_requests_total"]


def test_requests():
    """Requests are counted by path and outcome."""
    intake = IntakeMetrics()
    intake.requests["/sendbird/webhook", "accepted"] += 1
    intake.requests["/sendbird/webhook", "accepted"] += 1
    intake.requests["/sendbird/bot", "bad_bot_token"] += 1
    page = read_metrics(metrics.render(intake, 0, 0, {}))
    assert page["receiver_requests_total", "accepted", "/sendbird/webhook"] == 2
    assert page["receiver_requests_total", "bad_bot_token", "/sendbird/bot"] == 1


@pytest.mark.parametrize(
    ("took", "bucket"), [(0.0004, "0.0005"), (0.004, "0.005"), (0.9, "1.0"), (7, "+Inf")]
)
def test_store_seconds(took, bucket):
    """The time it took to store falls into its bucket, and not into the one before."""
    intake = IntakeMetrics()
    intake.stored(took)
    page = read_metrics(metrics.render(intake, 0, 0, {}))
    filled = [key[1] for key, value in page.items() if key[0] == "receiver_store_seconds_bucket" and value]
    assert filled[0] == bucket


def test_store_seconds_add_up():
    """Each bucket counts all that took no longer, and the sum is that of all."""
    intake = IntakeMetrics()
    for took in (0.0005, 0.002, 0.002, 3.0):
        intake.stored(took)
    page = read_metrics(metrics.render_intake(intake))
    buckets = {key[1]: value for key, value in page.items() if key[0] == "receiver_store_seconds_bucket"}
    assert buckets["0.0005"] == 1
    assert buckets["0.001"] == 1
    assert buckets["0.0025"] == buckets["1.0"] == 3
    assert buckets["+Inf"] == page["receiver_store_seconds_count",] == 4
    assert page["receiver_store_seconds_sum",] == pytest.approx(3.0045)


def test_pipeline():
    """What Redis knows is shown: the inbox, the lanes, the counters, and attempts by handler."""
    stats = {"dispatched": 12, "repeated": 3, "done mailer.offline": 7, "dead mailer.offline": 1}
    page = read_metrics(metrics.render(IntakeMetrics(), 100, 5, stats))
    assert page["receiver_inbox_events",] == 100
    assert page["receiver_lanes",] == 5
    assert page["receiver_dispatched_events_total",] == 12
    assert page["receiver_repeated_events_total",] == 3
    assert page["receiver_attempts_total", "mailer.offline", "done"] == 7
    assert page["receiver_attempts_total", "mailer.offline", "dead"] == 1


def test_unknown_counters():
    """A counter that a newer process keeps in Redis disturbs nothing."""
    page = read_metrics(metrics.render(IntakeMetrics(), 0, 0, {"invented": 1, "invented mailer": 2}))
    assert not [key for key in page if "invented" in key]


def test_says_whose_requests():
    """The page says that requests are counted by process: another worker would tell others."""
    page = metrics.render(IntakeMetrics(), 0, 0, {}).decode()
    for name in ("receiver_requests_total", "receiver_store_seconds"):
        [line] = [line for line in page.splitlines() if line.startswith(f"# HELP {name} ")]
        assert "the process that tells this" in line


def test_one_page_each():
    """Two receivers in one process don't share counters."""
    one, other = IntakeMetrics(), IntakeMetrics()
    one.requests["/", "accepted"] += 1
    assert ("receiver_requests_total", "accepted", "/") not in read_metrics(metrics.render(other, 0, 0, {}))


def test_connections(monkeypatch):
    """What is known of the connections, and of the networks that are refused, is told with the requests."""
    table = Connections()
    table.evicted = 3
    table.refusals.unread["long_head"] = 2
    monkeypatch.setattr(table.refusals, "heaviest", lambda: [("203.0.113.0/24", 70)])
    page = read_metrics(metrics.render_intake(IntakeMetrics(table)))
    assert page["receiver_connections",] == 0
    assert page["receiver_evicted_connections_total",] == 3
    assert page["receiver_unread_total", "long_head"] == 2
    assert page["receiver_refused_by_network", "203.0.113.0/24"] == 70
