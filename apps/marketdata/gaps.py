"""Holes in stored history: finding them, and remembering those that no venue can fill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.db import connections

from apps.marketdata.writers import connection_refresh

NOT_PUBLISHED: Final = "not_published"
"""The venue has no history of this series, or none of so long ago."""
NO_DATA: Final = "no_data"
"""The venue was asked and has nothing either."""


class Gap(NamedTuple):
    """Nothing is stored of this series in ``[since_ms, until_ms)``, and why."""

    instrument_id: int
    series: str
    interval_s: int
    since_ms: int
    until_ms: int
    reason: str


class Hole(NamedTuple):
    """Two neighbouring rows that lie too far apart."""

    instrument_id: int
    since_ms: int
    until_ms: int


# Series → its rows, and how far apart two of them may lie; all constants of this module.
_SERIES: Final = {
    # 90 minutes where it settles hourly, twelve hours where it does every eight.
    "funding": (
        "funding_rate",
        "AND kind = 'settled'",
        "coalesce(interval_h, 8) * interval '90 min'",
    ),
    # The coarsest samples of the last month are hourly.
    "open_interest": ("open_interest", "", "interval '150 min'"),
}
WATCHED_SERIES: Final = tuple(_SERIES)


def holes_in(series: str, instrument_ids: Sequence[int], start_ms: int, end_ms: int) -> list[Hole]:
    """Holes between the rows of ``[start, end)`` that are not noted as gaps yet."""
    table, where, apart = _SERIES[series]
    connection_refresh()
    with connections["market"].cursor() as cursor:
        cursor.execute(
            f"""
            SELECT instrument_id, before, ts FROM (
                SELECT instrument_id, ts, {apart} AS apart,
                       lag(ts) OVER (PARTITION BY instrument_id ORDER BY ts) AS before
                FROM {table}
                WHERE instrument_id = ANY(%s) AND ts >= %s AND ts < %s {where}) AS neighbours
            WHERE ts - before > apart AND NOT EXISTS (
                SELECT 1 FROM history_gap AS gap
                WHERE gap.instrument_id = neighbours.instrument_id AND gap.series = %s
                  AND gap.since <= before AND gap.until >= ts)
            ORDER BY before, instrument_id
            """,  # noqa: S608 constants of this module
            [list(instrument_ids), _at(start_ms), _at(end_ms), series],
        )
        return [Hole(row_id, _ms(since), _ms(until)) for row_id, since, until in cursor.fetchall()]


def gaps_note(gaps: Iterable[Gap]) -> int:
    """Remember gaps; one that is known grows. Returns how many there were."""
    rows = [(*one[:3], _at(one.since_ms), _at(one.until_ms), one.reason) for one in gaps]
    if not rows:
        return 0
    connection_refresh()
    with connections["market"].cursor() as cursor:
        cursor.executemany(
            "INSERT INTO history_gap (instrument_id, series, interval_s, since, until, reason) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (instrument_id, series, interval_s, since) "
            "DO UPDATE SET until = greatest(history_gap.until, excluded.until), "
            "reason = excluded.reason",
            rows,
        )
    return len(rows)


def gaps_of(series: str, instrument_ids: Sequence[int]) -> list[Gap]:
    """Noted gaps of these instruments, by beginning."""
    with connections["market"].cursor() as cursor:
        cursor.execute(
            "SELECT instrument_id, series, interval_s, since, until, reason FROM history_gap "
            "WHERE series = %s AND instrument_id = ANY(%s) ORDER BY since, instrument_id",
            [series, list(instrument_ids)],
        )
        return [_gap(row) for row in cursor.fetchall()]


def gap_counts() -> dict[str, int]:
    """Noted gaps by series."""
    with connections["market"].cursor() as cursor:
        cursor.execute("SELECT series, count(*) FROM history_gap GROUP BY series ORDER BY series")
        return dict(cursor.fetchall())


def _gap(row: tuple[Any, ...]) -> Gap:
    row_id, series, interval_s, since, until, reason = row
    return Gap(row_id, series, interval_s, _ms(since), _ms(until), reason)


def _at(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
