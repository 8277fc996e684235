"""What streaming counts, read when Prometheus scrapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from apps.stream.service import StreamService


class StreamMetrics(Collector):
    """Clients, subscriptions, followed channels, events read, closings by reason."""

    def __init__(self, service: StreamService) -> None:
        self._service = service
        self.closed: dict[str, int] = defaultdict(int)

    def collect(self) -> Iterator[Metric]:
        clients = list(self._service.clients.values())
        gauge = GaugeMetricFamily("focsal_stream_clients", "Open clients.", labels=("transport",))
        for transport in ("websocket", "sse"):
            count = sum(client.transport == transport for client in clients)
            gauge.add_metric((transport,), float(count))
        yield gauge
        yield GaugeMetricFamily(
            "focsal_stream_subscriptions",
            "Subscriptions of all clients.",
            value=float(sum(len(client.subscriptions) for client in clients)),
        )
        yield GaugeMetricFamily(
            "focsal_stream_channels", "Channels followed.", value=float(self._service.hub.followed)
        )
        yield CounterMetricFamily(
            "focsal_stream_events",
            "Events read from channels.",
            value=float(self._service.hub.events),
        )
        closed = CounterMetricFamily(
            "focsal_stream_closed", "Clients closed by the server.", labels=("reason",)
        )
        for reason, count in sorted(self.closed.items()):
            closed.add_metric((reason,), count)
        yield closed
