from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from django.db import connections

from apps.marketdata.columns import Columns
from apps.marketdata.rows import BarRow, SeriesRow
from apps.marketdata.selectors import bar_series, funding_series, liquidation_series
from apps.marketdata.writers import rows_write
from tests.marketdata.samples import (
    MINUTE,
    T0,
    at,
    bar_row,
    funding_row,
    liquidation_row,
    oi_row,
)

pytestmark = pytest.mark.django_db(databases=["market"])


def stored_bar(ts: int = T0) -> tuple[float, int, str]:
    with connections["market"].cursor() as cursor:
        cursor.execute("SELECT close, trades, origin FROM bar WHERE ts = %s", [at(ts)])
        found: Any = cursor.fetchone()
    return (found[0], found[1], found[2])


def test_it_writes_every_series_and_says_how_many() -> None:
    assert rows_write([bar_row(), funding_row(), oi_row(), liquidation_row()]) == 4


def test_writing_again_changes_no_value() -> None:
    rows: list[SeriesRow] = [bar_row(), funding_row(), oi_row(), liquidation_row()]
    rows_write(rows)
    before = bar_series([1], 60, at(T0), at(T0 + 1))
    rows_write(rows)
    after = bar_series([1], 60, at(T0), at(T0 + 1))
    assert after.close.tolist() == before.close.tolist() == [100.5]
    assert len(liquidation_series([1], at(T0), at(T0 + 1)).ts_ms) == 1


def test_nan_infinity_and_none_become_null() -> None:
    rows_write([bar_row(buy_base=None), funding_row(interval_h=None), oi_row(oi_usd=math.nan)])
    with connections["market"].cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT buy_base IS NULL FROM bar), (SELECT oi_usd IS NULL FROM open_interest)"
        )
        assert cursor.fetchone() == (True, True)
    assert math.isnan(funding_series([1], "settled", at(T0), at(T0 + 1)).interval_h[0])


def test_a_venue_bar_replaces_a_stream_bar_and_not_the_reverse() -> None:
    rows_write([bar_row(close=1.0)])
    rows_write([bar_row(close=2.0, trades=3, origin="venue")])
    assert stored_bar() == (2.0, 3, "venue")
    rows_write([bar_row(close=3.0, trades=99)])
    assert stored_bar() == (2.0, 3, "venue")


def test_a_stream_bar_is_amended_by_more_trades_and_not_by_a_fragment() -> None:
    rows_write([bar_row(close=1.0, trades=7)])
    rows_write([bar_row(close=2.0, trades=2)])
    assert stored_bar() == (1.0, 7, "stream")
    rows_write([bar_row(close=3.0, trades=8)])
    assert stored_bar() == (3.0, 8, "stream")


def test_equal_keys_in_one_batch_keep_the_best_row() -> None:
    rows_write(
        [
            bar_row(close=1.0, trades=9),
            bar_row(close=2.0, trades=1, origin="venue"),
            bar_row(close=3.0, trades=10),
        ]
    )
    assert stored_bar() == (2.0, 1, "venue")
    rows_write([bar_row(T0 + MINUTE, close=1.0, trades=9), bar_row(T0 + MINUTE, trades=2)])
    assert stored_bar(T0 + MINUTE) == (1.0, 9, "stream")


def test_the_first_record_of_a_liquidation_stays() -> None:
    rows_write([liquidation_row(side="long"), liquidation_row(side="short")])
    assert liquidation_series([1], at(T0), at(T0 + 1)).is_long.tolist() == [True]


def test_settled_history_replaces_a_sample() -> None:
    rows_write([funding_row(rate_raw="0.1", origin="stream")])
    rows_write([funding_row(rate_raw="0.2")])
    rows_write([funding_row(rate_raw="0.3", origin="stream")])
    assert funding_series([1], "settled", at(T0), at(T0 + 1)).rate_raw == ["0.2"]


def test_text_that_would_break_copy_arrives_as_it_was() -> None:
    odd = "a\tb\\c\nd\\N"
    rows_write([liquidation_row(event_id=odd)])
    with connections["market"].cursor() as cursor:
        cursor.execute("SELECT event_id FROM liquidation")
        assert cursor.fetchone() == (odd,)


def everything(table: str, order: str) -> list[Any]:
    with connections["market"].cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} ORDER BY {order}")
        return list(cursor.fetchall())


def test_new_rows_arrive_like_merged_ones() -> None:
    """Texts of several lengths, NULLs of every kind and letters outside of ASCII, by both ways."""
    rows: list[SeriesRow] = [
        *(
            bar_row(T0 + n * MINUTE, buy_base=None if n % 2 else 1.5, trades=n or None)
            for n in range(6)
        ),
        *(
            funding_row(T0 + n * MINUTE, interval_h=math.nan if n else 8.0)._replace(rate_raw=text)
            for n, text in enumerate(("0.1", "", "-0.00012", "é", "0.2"))
        ),
        *(liquidation_row(event_id=text) for text in ("one", "three", "two")),
    ]
    tables = {"bar": "ts", "funding_rate": "ts", "liquidation": "event_id"}
    assert rows_write(rows) == len(rows)
    merged = {table: everything(table, order) for table, order in tables.items()}
    with connections["market"].cursor() as cursor:
        cursor.execute("TRUNCATE bar, funding_rate, liquidation")
    assert rows_write(rows, is_new=True) == len(rows)
    assert {table: everything(table, order) for table, order in tables.items()} == merged
    assert [row[6] for row in merged["funding_rate"]] == ["0.1", "", "-0.00012", "é", "0.2"]
    assert [row[7] for row in merged["funding_rate"]] == [8.0, None, None, None, None]
    assert [row[2] for row in merged["liquidation"]] == ["one", "three", "two"]
    assert merged["bar"][3][2] == at(T0 + 3 * MINUTE)


@pytest.mark.parametrize("is_new", [True, False])
def test_columns_arrive_like_their_rows(is_new: bool) -> None:
    rows: list[SeriesRow] = [
        bar_row(T0 + n * MINUTE, close=100.0 + n, buy_base=None, trades=None) for n in range(3)
    ]
    assert rows_write(rows) == 3
    one_by_one = everything("bar", "ts")
    with connections["market"].cursor() as cursor:
        cursor.execute("TRUNCATE bar")
    first = rows[0]
    assert isinstance(first, BarRow)
    columns: dict[str, Any] = first._asdict()
    columns["ts"] = np.array([row.ts for row in rows])
    columns["known_at"] = [row.known_at for row in rows]
    columns["close"] = np.array([100.0, 101.0, 102.0])
    assert rows_write(Columns(BarRow, 3, columns), is_new=is_new) == 3
    assert everything("bar", "ts") == one_by_one
    assert rows_write(Columns.of(BarRow, []), is_new=is_new) == 0


def test_new_rows_that_are_not_new_go_by_the_rules() -> None:
    rows_write([bar_row(close=2.0, trades=3, origin="venue")])
    fresh = [bar_row(close=3.0, trades=99), bar_row(T0 + MINUTE, close=4.0)]
    assert rows_write(fresh, is_new=True) == 1
    assert stored_bar() == (2.0, 3, "venue")
    assert stored_bar(T0 + MINUTE)[0] == 4.0


def test_no_rows_need_no_database() -> None:
    assert rows_write([]) == 0
