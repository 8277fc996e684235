"""What the edge counts. Plain numbers of one event loop, read by Prometheus when it scrapes: no lock
and no label look-up on the way of a request."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

# Upper bounds in seconds; the promise is 10 ms.
BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)


class EdgeMetrics(Collector):
    """Requests by route and status, latency, body cache, fallback."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = defaultdict(int)
        self.latency_counts = [0] * (len(BUCKETS_S) + 1)
        self.latency_sum_s = 0.0
        self.cache_hits = 0
        self.cache_misses = 0
        self.shed = 0
        self.fallback_answers = 0
        self.fallback_active = False

    def observe(self, route: str, status: int, elapsed_s: float) -> None:
        self.requests[(route, status)] += 1
        self.latency_counts[bisect_left(BUCKETS_S, elapsed_s)] += 1
        self.latency_sum_s += elapsed_s

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "focsal_edge_requests",
            "Requests answered by the edge itself.",
            labels=("route", "status"),
        )
        for (route, status), count in sorted(self.requests.items()):
            requests.add_metric((route, str(status)), count)
        yield requests
        yield self._latency()
        cache = CounterMetricFamily(
            "focsal_edge_body_cache", "Snapshot bodies looked for in memory.", labels=("outcome",)
        )
        cache.add_metric(("hit",), self.cache_hits)
        cache.add_metric(("miss",), self.cache_misses)
        yield cache
        yield CounterMetricFamily(
            "focsal_edge_shed", "Requests answered 503 because too many waited.", value=self.shed
        )
        yield CounterMetricFamily(
            "focsal_edge_fallback_answers",
            "Requests admitted without Redis.",
            value=self.fallback_answers,
        )
        yield GaugeMetricFamily(
            "focsal_edge_fallback_active",
            "1 while Redis is away and the edge admits by itself.",
            value=float(self.fallback_active),
        )

    def _latency(self) -> HistogramMetricFamily:
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.latency_counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return HistogramMetricFamily(
            "focsal_edge_latency_seconds",
            "From the parsed request to the answer handed to the server.",
            buckets=buckets,
            sum_value=self.latency_sum_s,
        )


def register(metrics: Collector, registry: CollectorRegistry = REGISTRY) -> None:
    registry.register(metrics)
