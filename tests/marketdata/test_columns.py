from __future__ import annotations

import numpy as np
import pytest

from apps.marketdata.columns import Columns
from apps.marketdata.rows import BasisRow

ROWS = [BasisRow(7, ts, ts, 100.0 + ts, 99.0, "venue") for ts in (1, 2, 3)]


def columns() -> Columns[BasisRow]:
    times = np.array([1, 2, 3])
    return Columns(
        BasisRow,
        3,
        {
            "instrument_id": 7,
            "ts": times,
            "known_at": [1, 2, 3],
            "mark_price": 100.0 + times,
            "index_price": 99.0,
            "origin": "venue",
        },
    )


def test_they_read_like_the_rows_that_they_are() -> None:
    found = columns()
    assert list(found) == ROWS
    assert (len(found), found[1], found[-2:]) == (3, ROWS[1], ROWS[1:])
    assert found == ROWS
    assert found == Columns.of(BasisRow, ROWS)
    assert found != ROWS[:2]
    assert type(found[0].ts) is int


def test_a_column_is_an_array_whatever_it_is_kept_as() -> None:
    found = columns()
    assert found.array("index_price").tolist() == [99.0] * 3
    assert found.array("known_at", np.int64).tolist() == [1, 2, 3]
    assert found.array("ts").tolist() == [1.0, 2.0, 3.0]
    missing = Columns.of(BasisRow, [ROWS[0]._replace(index_price=None)])  # type: ignore[arg-type]  # what an event may lack
    assert np.isnan(missing.array("index_price")).all()


def test_some_of_the_rows_are_columns_too() -> None:
    found = columns()
    assert found.where(found.array("ts") != 2) == [ROWS[0], ROWS[2]]
    assert found.where(found.array("ts") > 0) is found
    assert len(found.where(found.array("ts") > 9)) == 0


def test_fields_come_in_their_order_and_all_of_them() -> None:
    with pytest.raises(TypeError):
        Columns(BasisRow, 0, {"ts": [], "instrument_id": 1})


def test_columns_of_columns_are_the_same() -> None:
    found = columns()
    assert Columns.of(BasisRow, found) is found
