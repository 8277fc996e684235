from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from apps.marketdata.partitions import (
    Period,
    drop_expired,
    ensure_partitions,
    ensure_window,
    existing_partitions,
    forget_known_partitions,
    span_of,
)
from apps.marketdata.writers import rows_write
from tests.marketdata.samples import at, bar_row, funding_row

pytestmark = pytest.mark.django_db(databases=["market"])

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_a_week_starts_on_monday_utc() -> None:
    span = span_of(Period.WEEK, NOW)
    assert span.start == datetime(2026, 11, 16, tzinfo=UTC)
    assert span.end == datetime(2026, 11, 23, tzinfo=UTC)
    assert span.suffix == "20261116"


def test_a_month_ends_where_the_next_begins() -> None:
    span = span_of(Period.MONTH, datetime(2024, 12, 31, 23, 59, tzinfo=UTC))
    assert (span.start, span.end) == (
        datetime(2024, 12, 1, tzinfo=UTC),
        datetime(2025, 1, 1, tzinfo=UTC),
    )


def test_the_window_reaches_from_32_days_back_to_two_periods_ahead() -> None:
    ensure_window(NOW)
    months = ["202610", "202611", "202612", "202701"]
    assert existing_partitions("funding_rate") == [f"funding_rate_p{m}" for m in months]
    weeks = existing_partitions("bar")
    assert weeks[0] == "bar_p20261019"
    assert weeks[-1] == "bar_p20261130"
    assert len(weeks) == 7


def test_creating_again_does_nothing() -> None:
    assert ensure_partitions("bar", [NOW]) == ["bar_p20261116"]
    forget_known_partitions()
    assert ensure_partitions("bar", [NOW]) == []


def test_rows_of_a_replayed_2023_make_their_own_partitions() -> None:
    rows_write([bar_row(), funding_row()])
    assert existing_partitions("bar") == ["bar_p20231113"]
    assert existing_partitions("funding_rate") == ["funding_rate_p202311"]


def test_a_partition_dropped_behind_our_back_is_made_again() -> None:
    rows_write([bar_row()])
    with connections["market"].cursor() as cursor:
        cursor.execute("DROP TABLE bar_p20231113")
    assert rows_write([bar_row()]) == 1


def test_retention_drops_old_partitions_and_short_lived_rows() -> None:
    row = bar_row()
    rows_write([row, bar_row(interval_s=300), funding_row()])
    opened = at(row.ts)
    assert drop_expired(opened + timedelta(days=89)) == []
    assert _intervals() == [60, 300]
    assert drop_expired(opened + timedelta(days=98)) == []
    assert _intervals() == [300]
    assert drop_expired(opened + timedelta(days=420)) == ["funding_rate_p202311", "bar_p20231113"]
    assert existing_partitions("bar") == []


def _intervals() -> list[int]:
    with connections["market"].cursor() as cursor:
        cursor.execute("SELECT interval_s FROM bar ORDER BY 1")
        return [interval for (interval,) in cursor.fetchall()]
