from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from apps.core.clock import market_clock
from apps.marketdata.partitions import (
    POLICIES,
    Period,
    drop_expired,
    ensure_partitions,
    ensure_window,
    existing_partitions,
    forget_known_partitions,
    span_of,
)
from apps.marketdata.tasks import maintain_partitions
from apps.marketdata.writers import rows_write
from tests.marketdata.samples import at, bar_row, funding_row, liquidation_row

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


def test_retention_drops_whole_partitions_and_minutes_before_the_rest() -> None:
    row = bar_row()
    rows_write([row, bar_row(interval_s=300), bar_row(interval_s=3600), funding_row()])
    opened = at(row.ts)
    assert drop_expired(opened + timedelta(days=89)) == []
    assert _intervals() == [60, 300, 3600]
    assert drop_expired(opened + timedelta(days=98)) == ["bar_p20231113_s60"]
    assert _intervals() == [300, 3600]
    assert drop_expired(opened + timedelta(days=99)) == []
    # The week ended on the 20th, the month on the last day: a year later both are still whole.
    assert drop_expired(opened + timedelta(days=371)) == []
    assert drop_expired(opened + timedelta(days=380)) == ["bar_p20231113"]
    assert drop_expired(opened + timedelta(days=420)) == ["funding_rate_p202311"]
    assert existing_partitions("bar") == []


def test_how_long_rows_stay_is_a_setting(settings: Any) -> None:
    settings.RETENTION_DAYS = {"*": 366, "bar:60": 7, "liquidation": 800}
    row = bar_row()
    rows_write([row, liquidation_row(), funding_row()])
    opened = at(row.ts)
    assert drop_expired(opened + timedelta(days=16)) == ["bar_p20231113_s60"]
    assert set(drop_expired(opened + timedelta(days=600))) == {
        "bar_p20231113",
        "funding_rate_p202311",
    }
    assert existing_partitions("liquidation") == ["liquidation_p202311"]


def test_no_retention_is_shorter_than_the_promised_year() -> None:
    days = settings.RETENTION_DAYS
    now = datetime(2026, 11, 21, tzinfo=UTC)
    for table in POLICIES:
        assert days.get(table, days["*"]) >= 366
        start = now - timedelta(days=366)
        ensure_partitions(table, [start, now])
    kept = {table: existing_partitions(table) for table in POLICIES}
    assert drop_expired(now) == [name for table in ("bar",) for name in [f"{kept[table][0]}_s60"]]
    assert {table: existing_partitions(table) for table in POLICIES} == kept


def test_minutes_and_the_rest_lie_apart() -> None:
    """A question for hours never opens the minutes of its weeks."""
    rows_write([bar_row(), bar_row(interval_s=3600)])
    with connections["market"].cursor() as cursor:
        cursor.execute("EXPLAIN SELECT * FROM bar WHERE instrument_id = 1 AND interval_s = 3600")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "bar_p20231113_rest" in plan
    assert "_s60" not in plan


def test_the_task_makes_partitions_before_they_are_needed() -> None:
    """Two periods ahead of market time, so that a day without the task costs nothing."""
    market_clock.freeze(int(NOW.timestamp() * 1e9))
    maintain_partitions()
    assert existing_partitions("bar")[-1] == "bar_p20261130"
    assert existing_partitions("positioning")[-1] == "positioning_p202701"
    maintain_partitions()
    assert len(existing_partitions("bar")) == 7


def test_the_task_is_in_the_schedule() -> None:
    names = {one["task"] for one in settings.CELERY_BEAT_SCHEDULE.values()}
    assert "marketdata.maintain_partitions" in names


def _intervals() -> list[int]:
    with connections["market"].cursor() as cursor:
        cursor.execute("SELECT interval_s FROM bar ORDER BY 1")
        return [interval for (interval,) in cursor.fetchall()]
