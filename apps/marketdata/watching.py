"""When streams of events were watched: written by ingest while it listens, read by whoever counts events.

A venue says nothing while nothing happens, so an empty hour means "none" only if somebody listened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connections

from apps.marketdata.writers import connection_refresh

IntArray = npt.NDArray[np.int64]

LIQUIDATIONS: Final = "liquidation"
"""Series name of liquidation streams."""


class Watched(NamedTuple):
    """One instrument's span ``[since_ms, until_ms)``; the same beginning later is the same span, longer."""

    instrument_id: int
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class WatchSpans:
    """Spans of several instruments by beginning; those of one instrument may touch or overlap."""

    instrument_id: IntArray
    since_ms: IntArray
    until_ms: IntArray

    def of(self, instrument_id: int) -> tuple[IntArray, IntArray]:
        mine = self.instrument_id == instrument_id
        return self.since_ms[mine], self.until_ms[mine]


def watch_spans_extend(*, series: str, spans: Iterable[Watched]) -> None:
    """Store new spans and let known ones grow; none ever shrinks, so that a repeated write does no harm."""
    rows = [one for one in spans if one.until_ms > one.since_ms]
    if not rows:
        return
    connection_refresh()
    with connections["market"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO watch_span (instrument_id, series, since, until) "
            "SELECT id, %s, to_timestamp(since / 1000.0), to_timestamp(until / 1000.0) "
            "FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS given(id, since, until) "
            "ON CONFLICT (instrument_id, series, since) "
            "DO UPDATE SET until = greatest(watch_span.until, excluded.until)",
            [series, *(list(column) for column in zip(*rows, strict=True))],
        )


def watch_spans(
    series: str, instrument_ids: Sequence[int], start_ms: int, end_ms: int, as_of_ms: int | None
) -> WatchSpans:
    """Spans that touch ``[start, end)``. At ``as_of_ms`` nothing later was watched yet."""
    stop_ms = end_ms if as_of_ms is None else min(end_ms, as_of_ms)
    with connections["market"].cursor() as cursor:
        cursor.execute(
            "SELECT instrument_id, since, until FROM watch_span "
            "WHERE series = %s AND instrument_id = ANY(%s) AND since < %s AND until > %s "
            "ORDER BY since, instrument_id",
            [series, list(instrument_ids), _at(stop_ms), _at(start_ms)],
        )
        rows = cursor.fetchall()
    return WatchSpans(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([_ms(row[1]) for row in rows], dtype=np.int64),
        np.array([min(_ms(row[2]), stop_ms) for row in rows], dtype=np.int64),
    )


def _at(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
