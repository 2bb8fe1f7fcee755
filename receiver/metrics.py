"""What `/metrics` tells Prometheus. Labels never hold what a stranger has chosen.

Requests are counted by process: with `receiver serve --workers N`, a page shows those of one of the N.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_DELIVERY_STATES = ("done", "retrying", "dead", "skipped")


class IntakeMetrics:
    """What one receiver process knows: its requests, and its spool."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "receiver_requests",
            "Requests to the process that tells this, by path and outcome.",
            ("path", "outcome"),
            registry=self.registry,
        )
        self.stored = Histogram(
            "receiver_store_seconds",
            "From the whole body's arrival until the event is stored, in the process that tells this.",
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
            registry=self.registry,
        )
        self.spool_events = Gauge(
            "receiver_spool_events",
            "Events that wait in the spool of this machine.",
            registry=self.registry,
        )
        self.spool_bytes = Gauge(
            "receiver_spool_bytes",
            "Bytes on disk of the spool of this machine.",
            registry=self.registry,
        )


class _Pipeline(Collector):
    """What Redis knows: the same from whichever process it is asked."""

    def __init__(self, inbox_length: int, lanes: int, stats: Mapping[str, int]) -> None:
        self._inbox_length = inbox_length
        self._lanes = lanes
        self._stats = stats

    def collect(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        length = GaugeMetricFamily("receiver_inbox_events", "Events in the inbox, finished ones included.")
        length.add_metric([], self._inbox_length)
        lanes = GaugeMetricFamily("receiver_lanes", "Lanes that hold events.")
        lanes.add_metric([], self._lanes)
        dispatched = CounterMetricFamily("receiver_dispatched_events", "Events moved into lanes.")
        dispatched.add_metric([], self._stats.get("dispatched", 0))
        repeated = CounterMetricFamily("receiver_repeated_events", "Events that repeat an earlier one.")
        repeated.add_metric([], self._stats.get("repeated", 0))
        attempts = CounterMetricFamily(
            "receiver_attempts", "Attempts by handler and how they ended.", labels=("handler", "outcome")
        )
        for name, value in sorted(self._stats.items()):
            state, _, handler = name.partition(" ")
            if state in _DELIVERY_STATES:
                attempts.add_metric([handler, state], value)
        return [length, lanes, dispatched, repeated, attempts]


def render(intake: IntakeMetrics, inbox_length: int, lanes: int, stats: Mapping[str, int]) -> bytes:
    """Return the page that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(_Pipeline(inbox_length, lanes, stats))
    return render_intake(intake) + generate_latest(registry)


def render_intake(intake: IntakeMetrics) -> bytes:
    """Return the part of the page that needs no Redis."""
    return generate_latest(intake.registry)
