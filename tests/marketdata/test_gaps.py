from __future__ import annotations

import pytest

from apps.marketdata.gaps import (
    NO_DATA,
    NOT_PUBLISHED,
    Gap,
    Hole,
    gap_counts,
    gaps_note,
    gaps_of,
    holes_in,
)
from apps.marketdata.services import (
    Held,
    backfill_span_extend,
    backfill_spans,
    backfill_spans_advance,
    instruments_sync,
)
from apps.marketdata.writers import rows_write
from tests.marketdata.samples import T0, at, funding_row, instrument, oi_row

pytestmark = pytest.mark.django_db(databases=["market"])

HOUR = 3_600_000


def settlements(row_id: int, hours: list[int], interval_h: float | None) -> None:
    rows_write(funding_row(T0 + n * HOUR, row_id, interval_h=interval_h) for n in hours)


def test_a_missing_settlement_is_a_hole_by_the_interval_of_its_own_symbol() -> None:
    settlements(1, [0, 1, 2, 4, 5], 1.0)
    settlements(2, [0, 8, 24], 8.0)
    settlements(3, [0, 8, 16], None)
    found = holes_in("funding", [1, 2, 3], T0, T0 + 48 * HOUR)
    assert found == [
        Hole(1, T0 + 2 * HOUR, T0 + 4 * HOUR),
        Hole(2, T0 + 8 * HOUR, T0 + 24 * HOUR),
    ]


def test_a_noted_gap_is_no_hole_any_more_and_is_counted() -> None:
    rows_write(oi_row(T0 + n * HOUR) for n in (0, 1, 5, 6, 12))
    first, second = holes_in("open_interest", [1], T0, T0 + 48 * HOUR)
    assert gaps_note([Gap(1, "open_interest", 0, *first[1:], NOT_PUBLISHED)]) == 1
    assert holes_in("open_interest", [1], T0, T0 + 48 * HOUR) == [second]
    # Noted again, it grows and never shrinks.
    gaps_note([Gap(1, "open_interest", 0, first.since_ms, first.until_ms - HOUR, NO_DATA)])
    assert gaps_of("open_interest", [1]) == [Gap(1, "open_interest", 0, *first[1:], NO_DATA)]
    assert gap_counts() == {"open_interest": 1}


def test_spans_grow_by_what_streams_brought_only_where_they_touch() -> None:
    listed = [instrument()]
    (row_id,) = instruments_sync(
        venue="binance", listed=listed, assets=["BTC"], now=at(T0)
    ).ids.values()
    backfill_span_extend(
        instrument_id=row_id, series="bar", interval_s=60, since=at(T0), until=at(T0 + 1000)
    )
    key = ("bar", 60)
    assert backfill_spans_advance([Held(row_id, *key, T0 + 1001, T0 + 9000)]) == 0
    assert backfill_spans_advance([Held(row_id, *key, T0 + 1000, T0 + 9000)]) == 1
    assert backfill_spans()[key] == {row_id: (at(T0), at(T0 + 9000))}
    assert backfill_spans_advance([Held(row_id, *key, T0, T0 + 8000)]) == 0
    assert backfill_spans_advance([Held(row_id, "bar", 300, T0, T0 + 9000)]) == 0
