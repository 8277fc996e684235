from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.core.redis import sync_redis
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import LiveState, OpenBar, SourceStatus, live_key, sources_key, write_live
from apps.marketdata.selectors import live_board, source_statuses
from tests.marketdata.samples import T0, instrument


@pytest.fixture(autouse=True)
def _own_market(settings: object) -> Iterator[None]:
    settings.MARKET = "marketdata-test"  # type: ignore[attr-defined] # pytest-django's proxy
    sync_redis().delete(live_key(), sources_key())
    yield
    sync_redis().delete(live_key(), sources_key())


def test_what_is_written_is_read_back() -> None:
    state = LiveState.of(instrument())
    state.funding_rate, state.funding_rate_raw = 0.0001, "0.00010000"
    state.open_bar = OpenBar(T0, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 4.0, 6.0, 3)
    source = SourceStatus(venue="binance", status="degraded", last_ok_ms=T0, detail="HTTP 451")
    write_live(sync_redis(), [state, LiveState.of(instrument(kind=InstrumentKind.SPOT))], [source])
    board = live_board()
    assert board.get("binance:perp:BTCUSDT") == state
    assert board.sources == {"binance": source} == source_statuses()
    assert [one.kind for one in board.of_asset("BTC")] == ["perp", "spot"]
    assert board.find("binance", "BTC", InstrumentKind.PERP) == state
    assert board.of_venue("bybit") == ()


def test_what_is_not_known_is_none() -> None:
    write_live(sync_redis(), [LiveState.of(instrument())])
    state = live_board().states["binance:perp:BTCUSDT"]
    assert (state.mark_price, state.oi_usd, state.open_bar, state.book_state) == (None,) * 4


def test_an_empty_market_is_an_empty_board() -> None:
    board = live_board()
    assert board.states == {}
    assert board.of_asset("BTC") == ()
