from __future__ import annotations

import math

import pytest
from django.db import OperationalError

from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.models import InstrumentListing
from apps.marketdata.selectors import (
    bar_series,
    clear_instrument_cache,
    funding_series,
    instruments,
    open_interest_series,
)
from apps.marketdata.services import (
    backfill_span_extend,
    backfill_spans,
    instruments_sync,
)
from apps.marketdata.writers import rows_write
from tests.marketdata.samples import MINUTE, T0, at, bar_row, funding_row, instrument, oi_row

pytestmark = pytest.mark.django_db(databases=["market"])


def test_a_range_is_half_open() -> None:
    rows_write([bar_row(T0 + n * MINUTE) for n in range(4)])
    found = bar_series([1], 60, at(T0 + MINUTE), at(T0 + 3 * MINUTE))
    assert found.ts_ms.tolist() == [T0 + MINUTE, T0 + 2 * MINUTE]


def test_every_column_of_a_bar_comes_back() -> None:
    row = bar_row(trades=None, buy_base=None, is_partial=True)
    rows_write([row])
    found = bar_series([1], 60, at(T0), at(T0 + 1))
    assert (found.open[0], found.high[0], found.low[0], found.close[0]) == (100, 101, 99, 100.5)
    assert (found.volume_base[0], found.volume_usd[0], found.buy_usd[0]) == (3.5, 350.25, 125.5)
    assert math.isnan(found.buy_base[0])
    assert found.trades.tolist() == [-1]
    assert found.is_partial.tolist() == [True]
    assert found.known_at_ms.tolist() == [T0 + MINUTE]


def test_rows_are_ordered_by_time_then_instrument() -> None:
    rows_write([oi_row(T0 + MINUTE, 2), oi_row(T0, 2), oi_row(T0 + MINUTE, 1), oi_row(T0, 3)])
    found = open_interest_series([1, 2], at(T0), at(T0 + 2 * MINUTE))
    assert list(zip(found.ts_ms.tolist(), found.instrument_id.tolist(), strict=True)) == [
        (T0, 2),
        (T0 + MINUTE, 1),
        (T0 + MINUTE, 2),
    ]


def test_as_of_hides_what_was_not_known_yet() -> None:
    rows_write([funding_row(T0, known_at=T0 + 10), funding_row(T0 + 5, known_at=T0 + 11)])
    wide = (at(T0), at(T0 + MINUTE))
    assert funding_series([1], "settled", *wide, as_of=at(T0 + 9)).ts_ms.tolist() == []
    assert funding_series([1], "settled", *wide, as_of=at(T0 + 10)).ts_ms.tolist() == [T0]
    assert len(funding_series([1], "settled", *wide).ts_ms) == 2


def test_settled_and_predicted_never_mix() -> None:
    rows_write([funding_row(T0, kind="settled"), funding_row(T0, kind="predicted", rate_raw="0.5")])
    assert funding_series([1], "predicted", at(T0), at(T0 + 1)).rate_raw == ["0.5"]


def test_the_venues_own_string_keeps_every_digit() -> None:
    raw = "-0.000012345678901234"
    rows_write([funding_row(rate_raw=raw)])
    found = funding_series([1], "settled", at(T0), at(T0 + 1))
    assert found.rate_raw == [raw]
    assert found.rate[0] == float(raw)


def test_no_instruments_and_no_rows_give_empty_arrays() -> None:
    assert len(bar_series([], 60, at(T0), at(T0 + MINUTE)).close) == 0
    found = bar_series([99], 60, at(T0), at(T0 + MINUTE))
    assert found.close.dtype.name == "float64"
    assert len(found.close) == 0


def test_milliseconds_survive_storage() -> None:
    rows_write([oi_row(T0 + 1), oi_row(T0 + 999), oi_row(T0 + 123_456_789)])
    found = open_interest_series([1], at(T0), at(T0 + 10**9))
    assert found.ts_ms.tolist() == [T0 + 1, T0 + 999, T0 + 123_456_789]


def test_the_instrument_list_is_filtered_and_keeps_its_ids() -> None:
    spot = instrument(kind=InstrumentKind.SPOT)
    eth = instrument("ETHUSDT", "ETH")
    ids = instruments_sync(
        venue="binance", listed=[instrument(), spot, eth], assets=["BTC", "ETH"], now=at(T0)
    ).ids
    assert [row.instrument for row in instruments(asset="BTC", kind=InstrumentKind.SPOT)] == [spot]
    again = instruments_sync(
        venue="binance", listed=[instrument(), spot], assets=["BTC", "ETH"], now=at(T0)
    ).ids
    assert again == {key: ids[key] for key in again}
    assert instruments(asset="ETH") == []
    assert [row.id for row in instruments(asset="ETH", include_inactive=True)] == [ids[eth.key]]


def test_known_instruments_outlive_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_away(*_: object) -> None:
        raise OperationalError("away")

    instruments_sync(venue="binance", listed=[instrument()], assets={"BTC"}, now=at(T0), dropped=())
    clear_instrument_cache()
    known = instruments()
    assert len(known) == 1
    clear_instrument_cache()
    with monkeypatch.context() as away:
        away.setattr(InstrumentListing.objects, "order_by", is_away)
        assert instruments() == known
        # Nothing is known of a market that was never read.
        away.setattr(selectors, "_cache", selectors._InstrumentCache())
        with pytest.raises(OperationalError):
            instruments()
    clear_instrument_cache()
    assert instruments() == known


def test_another_shards_assets_are_left_alone() -> None:
    eth = instrument("ETHUSDT", "ETH")
    instruments_sync(venue="binance", listed=[eth], assets=["ETH"], now=at(T0))
    instruments_sync(venue="binance", listed=[instrument()], assets=["BTC"], now=at(T0))
    assert [row.instrument.asset for row in instruments()] == ["ETH", "BTC"]


def test_spans_grow_where_they_touch() -> None:
    ids = instruments_sync(venue="binance", listed=[instrument()], assets=["BTC"], now=at(T0)).ids
    (row_id,) = ids.values()

    def extend(since: int, until: int) -> None:
        backfill_span_extend(
            instrument_id=row_id, series="bar", interval_s=60, since=at(since), until=at(until)
        )

    extend(T0, T0 + 100)
    extend(T0 + 100, T0 + 200)
    assert backfill_spans()["bar", 60] == {row_id: (at(T0), at(T0 + 200))}
    extend(T0 + 300, T0 + 400)
    assert backfill_spans()["bar", 60] == {row_id: (at(T0 + 300), at(T0 + 400))}
    extend(T0, T0 + 100)
    assert backfill_spans()["bar", 60] == {row_id: (at(T0 + 300), at(T0 + 400))}
