"""What `/metrics` tells Prometheus. Labels hold nothing that a stranger has chosen, but for his network.

Requests are counted by process: with `receiver serve --workers N`, a page shows those of one of the N.
They are counted in plain numbers, of which samples are made when the page is asked for: what a counter of
prometheus_client costs each time is felt where each request has 20 microseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from receiver.connections import Connections

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds: the buckets of the time that storing takes."""
_DELIVERY_STATES = ("done", "retrying", "dead", "skipped")


class IntakeMetrics(Collector):
    """What one receiver process knows: its requests, and its spool."""

    def __init__(self, connections: Connections | None = None) -> None:
        self.connections = connections
        self.requests: Counter[tuple[str, str]] = Counter()
        """By path and outcome."""
        self.origins: Counter[tuple[str, str]] = Counter()
        """By origin and outcome."""
        self.spool_events = 0
        self.spool_bytes = 0
        self._stored = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def stored(self, seconds: float) -> None:
        """Count an event that took so long to store."""
        self._stored[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> list[Metric]:
        requests = CounterMetricFamily(
            "receiver_requests",
            "Requests to the process that tells this, by path and outcome.",
            labels=("path", "outcome"),
        )
        for labels, count in self.requests.items():
            requests.add_metric(labels, count)
        origins = CounterMetricFamily(
            "receiver_origin_requests",
            "Requests to the process that tells this, by what they have proved to come from, and outcome.",
            labels=("origin", "outcome"),
        )
        for labels, count in self.origins.items():
            origins.add_metric(labels, count)
        seconds = HistogramMetricFamily(
            "receiver_store_seconds",
            "From the whole body's arrival until the event is stored, in the process that tells this.",
        )
        bounds = (*map(str, _BOUNDS), "+Inf")
        seconds.add_metric([], list(zip(bounds, accumulate(self._stored), strict=True)), self._seconds)
        connections = [] if self.connections is None else _connections(self.connections)
        return [
            requests,
            origins,
            seconds,
            *connections,
            GaugeMetricFamily(
                "receiver_spool_events", "Events that wait in the spool of this machine.", self.spool_events
            ),
            GaugeMetricFamily(
                "receiver_spool_bytes", "Bytes on disk of the spool of this machine.", self.spool_bytes
            ),
        ]


def _connections(table: Connections) -> list[Metric]:
    """Return what is known of the connections, and of those that are refused."""
    unread = CounterMetricFamily(
        "receiver_unread", "What was refused before it was a request, by reason.", labels=("reason",)
    )
    for reason, count in table.refusals.unread.items():
        unread.add_metric([reason], count)
    networks = GaugeMetricFamily(
        "receiver_refused_by_network",
        "Refusals in the last whole minute, of the networks with most of them (at least 60; 20 at most).",
        labels=("network",),
    )
    for network, count in table.refusals.heaviest():
        networks.add_metric([network], count)
    return [
        GaugeMetricFamily("receiver_connections", "Open connections.", len(table)),
        CounterMetricFamily(
            "receiver_evicted_connections",
            "Connections closed because there were too many, or held too much.",
            table.evicted,
        ),
        unread,
        networks,
    ]


class _Pipeline(Collector):
    """What Redis knows: the same from whichever process it is asked."""

    def __init__(self, inbox_length: int, lanes: int, stats: Mapping[str, int]) -> None:
        self._inbox_length = inbox_length
        self._lanes = lanes
        self._stats = stats

    def collect(self) -> list[Metric]:
        attempts = CounterMetricFamily(
            "receiver_attempts", "Attempts by handler and how they ended.", labels=("handler", "outcome")
        )
        for name, value in sorted(self._stats.items()):
            state, _, handler = name.partition(" ")
            if state in _DELIVERY_STATES:
                attempts.add_metric([handler, state], value)
        return [
            GaugeMetricFamily(
                "receiver_inbox_events", "Events in the inbox, finished ones included.", self._inbox_length
            ),
            GaugeMetricFamily("receiver_lanes", "Lanes that hold events.", self._lanes),
            CounterMetricFamily(
                "receiver_dispatched_events",
                "Events moved into lanes.",
                self._stats.get("dispatched", 0),
            ),
            CounterMetricFamily(
                "receiver_repeated_events",
                "Events that repeat an earlier one.",
                self._stats.get("repeated", 0),
            ),
            attempts,
        ]


def render(intake: IntakeMetrics, inbox_length: int, lanes: int, stats: Mapping[str, int]) -> bytes:
    """Return the page that Prometheus reads."""
    return _render(intake, _Pipeline(inbox_length, lanes, stats))


def render_intake(intake: IntakeMetrics) -> bytes:
    """Return the part of the page that needs no Redis."""
    return _render(intake)


def _render(*collectors: Collector) -> bytes:
    registry = CollectorRegistry()
    for one in collectors:
        registry.register(one)
    return generate_latest(registry)
