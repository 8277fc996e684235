from __future__ import annotations

from apps.ingest.state import MarketState
from apps.marketdata.books import BookSynchroniser
from apps.marketdata.events import (
    BookSnapshot,
    Control,
    FundingKind,
    FundingRate,
    IndexPrice,
    Liquidation,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Quality,
    Side,
    Trade,
)
from apps.marketdata.live import LiveState
from apps.marketdata.rows import (
    BarRow,
    BasisRow,
    FundingRow,
    LiquidationRow,
    OpenInterestRow,
)
from apps.venues.binance.adapter import ADAPTER
from tests.marketdata.samples import MINUTE, T0, instrument

BTC = instrument()
NS = 1_000_000


class Market:
    """A market state whose clock the test holds."""

    def __init__(self) -> None:
        self.now_ms = T0
        self.state = MarketState(origin="stream", now_ms=lambda: self.now_ms)
        self.state.set_instruments([BTC], {BTC.key: 7})
        self.state.listings[BTC.key].coverage.live(T0)
        self.state.take_dirty()

    @property
    def live(self) -> LiveState:
        return self.state.listings[BTC.key].state


def trade(ts_ms: int, price: float = 100.0, *, is_block: bool = False) -> Trade:
    return Trade(BTC, ts_ms * NS, ts_ms * NS, price, 2.0, Side.SELL, "1", is_block)


def mark(ts_ms: int, price: float) -> MarkPrice:
    return MarkPrice(BTC, ts_ms * NS, ts_ms * NS, price, price + 1)


def predicted(ts_ms: int, raw: str, interval_h: float | None = None) -> FundingRate:
    return FundingRate(
        BTC, ts_ms * NS, ts_ms * NS, FundingKind.PREDICTED, float(raw), raw, interval_h,
        (T0 + 3_600_000) * NS,
    )  # fmt: skip


def open_interest(ts_ms: int, oi_usd: float | None = None) -> OpenInterest:
    return OpenInterest(BTC, ts_ms * NS, ts_ms * NS, 10.0, 10.0, oi_usd)


def test_what_changed_is_given_out_once() -> None:
    market = Market()
    market.state.apply(trade(T0 + 5))
    (state,) = market.state.take_dirty()
    assert (state.last_price, state.ts_event_ms, state.trade_count_total) == (100.0, T0 + 5, 1)
    assert state.open_bar is not None
    assert (state.open_bar.volume_base, state.open_bar.buy_base) == (2.0, 0.0)
    assert market.state.take_dirty() == []
    market.state.mark_dirty([state])
    assert market.state.take_dirty() == [state]


def test_an_older_trade_or_a_block_does_not_move_the_last_price() -> None:
    market = Market()
    market.state.apply(trade(T0 + 10, 100.0))
    market.state.apply(trade(T0 + 5, 90.0))
    market.state.apply(trade(T0 + 20, 80.0, is_block=True))
    assert market.live.last_price == 100.0
    assert market.live.trade_count_total == 3


def test_an_index_told_apart_reaches_the_perpetuals_of_its_venue_and_asset() -> None:
    market = Market()
    for venue, asset, price in (
        ("binance", "BTC", 99.0),
        ("okx", "BTC", 98.0),
        ("binance", "ETH", 9.0),
    ):
        market.state.apply(IndexPrice(venue, asset, "BTC-USDT", T0 * NS, T0 * NS, price))
    assert market.live.index_price == 99.0
    assert market.state.take_dirty() == [market.live]


def test_an_index_in_another_currency_measures_nothing() -> None:
    market = Market()
    market.state.apply(IndexPrice("binance", "BTC", "btc_usd", T0 * NS, T0 * NS, 99.0))
    assert market.live.index_price is None
    market.state.apply(IndexPrice("binance", "BTC", "btc_usdt", T0 * NS, T0 * NS, 99.0))
    after = market.live
    assert (after.index_price, after.index_ts_ms) == (99.0, T0)


def test_mark_and_index_of_the_same_moment_are_sampled_once_per_slot() -> None:
    market = Market()
    slot = T0 - T0 % 300_000
    samples: list[BasisRow] = []
    for now in range(T0, T0 + 700_000, 1000):
        if now < T0 + 200_000:
            market.state.apply(mark(now, 100.0))
        samples += [r for r in market.state.take_rows(now) if isinstance(r, BasisRow)]
    assert [row.ts for row in samples] == [T0, slot + 300_000]
    assert (samples[0].mark_price, samples[0].index_price) == (100.0, 101.0)
    assert (samples[0].instrument_id, samples[0].known_at) == (7, T0)


def test_a_mark_whose_index_is_of_another_moment_is_no_sample() -> None:
    market = Market()
    market.state.apply(IndexPrice("binance", "BTC", "BTC-USDT", T0 * NS, T0 * NS, 99.0))
    for late_ms, count in ((5_001, 0), (5_000, 1)):
        market.live.mark_price, market.live.mark_ts_ms = 100.0, T0 + late_ms
        rows = [r for r in market.state.take_rows(T0 + late_ms) if isinstance(r, BasisRow)]
        assert len(rows) == count


def test_open_interest_in_usd_follows_the_mark_price() -> None:
    market = Market()
    market.state.apply(open_interest(T0))
    before = market.live.oi_usd
    assert before is None
    market.state.apply(mark(T0, 50.0))
    assert market.live.oi_usd == 500.0
    market.state.apply(mark(T0 + 1000, 60.0))
    market.state.apply(mark(T0 + 500, 1.0))
    assert (market.live.oi_usd, market.live.mark_price, market.live.index_price) == (600, 60, 61)


def test_the_messages_interval_wins_over_the_instruments() -> None:
    market = Market()
    market.live.funding_interval_h = 8.0
    market.state.apply(predicted(T0, "0.0001"))
    assert market.live.funding_interval_h == 8.0
    market.state.apply(predicted(T0 + 1, "-0.00020000", 4.0))
    assert market.live.funding_interval_h == 4.0
    assert (market.live.funding_rate, market.live.funding_rate_raw) == (-0.0002, "-0.00020000")


def test_predicted_funding_is_sampled_once_per_slot_while_it_is_fresh() -> None:
    market = Market()
    slot = T0 - T0 % 300_000
    samples: list[FundingRow] = []
    for now in range(T0, T0 + 700_000, 1000):
        if now < T0 + 200_000:
            market.state.apply(predicted(now, "0.0001", 8.0))
        samples += [r for r in market.state.take_rows(now) if isinstance(r, FundingRow)]
    assert [row.ts for row in samples] == [T0, slot + 300_000]
    assert samples[0].kind == "predicted"
    assert samples[0].known_at == T0
    assert samples[0].funding_ts == T0 + 3_600_000


def test_open_interest_is_sampled_once_per_slot() -> None:
    market = Market()
    for now in range(T0, T0 + 600_000, 60_000):
        market.state.apply(open_interest(now, 5.0))
    rows = [r for r in market.state.take_rows(T0) if isinstance(r, OpenInterestRow)]
    assert len(rows) == 3
    assert len({row.ts // 300_000 for row in rows}) == 3


def test_closed_bars_say_whether_they_were_watched_throughout() -> None:
    market = Market()
    coverage = market.state.listings[BTC.key].coverage
    coverage.take_repairs(T0 + MINUTE)
    market.state.apply(trade(T0 + 5))
    market.state.apply(trade(T0 + MINUTE + 5))
    coverage.down(T0 + MINUTE + 10)
    rows = [r for r in market.state.take_rows(T0 + 3 * MINUTE) if isinstance(r, BarRow)]
    assert [(row.ts, row.is_partial) for row in rows] == [(T0, False), (T0 + MINUTE, True)]
    assert rows[0].instrument_id == 7
    assert rows[0].known_at == T0 + 3 * MINUTE


def test_a_liquidation_becomes_a_row() -> None:
    market = Market()
    market.state.apply(
        Liquidation(
            BTC, T0 * NS, (T0 + 3) * NS, PositionSide.LONG, 99.0, 2.0, 198.0, Quality.SAMPLED, "x"
        )
    )
    (row,) = market.state.take_rows(T0 + 10)
    assert isinstance(row, LiquidationRow)
    assert (row.side, row.notional_usd, row.known_at, row.event_id) == ("long", 198.0, T0 + 3, "x")


def test_best_prices_come_from_a_live_book_only() -> None:
    market = Market()
    book = BookSynchroniser(BTC, ADAPTER.book_rules[BTC.kind])
    book.on_snapshot(BookSnapshot(BTC, T0 * NS, T0 * NS, 5, [(99.0, 1.0)], [(101.0, 2.0)]))
    market.state.read_books({BTC.key: book})
    state = market.live
    assert (state.best_bid, state.best_ask, state.bid_depth, state.ask_depth) == (99, 101, 1, 2)
    assert state.book_state == "live"
    book.mark_stale("silent")
    market.state.read_books({BTC.key: book})
    assert (state.book_state, state.best_bid, state.ask_depth) == ("stale", None, None)


def test_events_of_others_and_control_frames_change_nothing() -> None:
    market = Market()
    eth = instrument("ETHUSDT", "ETH")
    market.state.apply(MarkPrice(eth, T0 * NS, T0 * NS, 1.0, 1.0))
    market.state.apply(Control("binance", T0 * NS, "ack"))
    assert market.state.take_dirty() == []


def test_open_interest_in_usd_that_the_venue_says_does_not_move_with_the_mark() -> None:
    market = Market()
    market.state.apply(mark(T0, 60_000.0))
    market.state.apply(open_interest(T0, 5.0))
    market.state.apply(mark(T0 + 1000, 70_000.0))
    assert market.live.oi_usd == 5.0
    # Older than what is known: a poll overtaken by the stream.
    market.state.apply(open_interest(T0 - 1000, 9.0))
    assert market.live.oi_usd == 5.0
