"""Prometheus metrics of ingest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class Tally:
    """A count that only the event loop's thread changes: without the lock that a ``Counter`` takes."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        self.value += 1


class Tallies(Collector):
    """A counter by venue for what happens thousands of times a second."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._by_venue: dict[str, Tally] = {}
        REGISTRY.register(self)

    def labels(self, venue: str) -> Tally:
        return self._by_venue.setdefault(venue, Tally())

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._documentation, labels=["venue"])
        for venue, tally in list(self._by_venue.items()):
            family.add_metric([venue], tally.value)
        yield family


EVENTS: Final = Tallies("focsal_ingest_events", "Normalised events applied")
MESSAGES: Final = Gauge(
    "focsal_ingest_messages",
    "Wire messages since start, by what became of them",
    ["venue", "outcome"],
)
BOOK_GAPS: Final = Gauge(
    "focsal_ingest_book_gaps", "Gaps found in order books since start", ["venue"]
)
LATE_TRADES: Final = Gauge(
    "focsal_ingest_late_trades", "Trades that came too late for their bar, since start"
)
LOOP_LATE_SECONDS: Final = Counter(
    "focsal_ingest_loop_late_seconds",
    "By how much the event loop woke its sleepers too late (more than a quarter of a second), summed",
)
FLUSH_SECONDS: Final = Histogram(
    "focsal_ingest_flush_seconds",
    "Time to write live state to Redis",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
FLUSH_LAG_SECONDS: Final = Histogram(
    "focsal_ingest_event_to_flush_seconds",
    "Age of the newest event of a live state when it is in Redis",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10),
)
ROWS: Final = Counter("focsal_ingest_rows", "Rows handed to PostgreSQL or the spool")
ROWS_PENDING: Final = Gauge("focsal_ingest_rows_pending", "Rows that wait for the writer")
SPOOLED_BYTES: Final = Gauge(
    "focsal_ingest_spooled_bytes", "Bytes that wait for PostgreSQL on disk"
)
REST_ERRORS: Final = Counter("focsal_ingest_rest_errors", "Failed REST calls", ["venue"])
