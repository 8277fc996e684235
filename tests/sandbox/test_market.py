"""The market model: a pure function of (seed, symbol, time)."""

from __future__ import annotations

import numpy as np
import pytest

from apps.marketdata.universe import ASSETS
from apps.sandbox.faces.binance.listings import binance_listings
from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.book import book_difference
from apps.sandbox.market.candles import aggregate, bar_of_trades, bars_until, floor_minute
from apps.sandbox.market.funding import USUAL, rule_of
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.model import SeededMarket

NOW_MS = 1_795_200_123_456
MINUTE = NOW_MS // 60_000
LISTINGS = binance_listings()


def listing(symbol: str, kind: str = "perp") -> Listing:
    return next(one for one in LISTINGS if one.symbol == symbol and one.kind == kind)


@pytest.fixture
def market() -> SeededMarket:
    return SeededMarket(11, LISTINGS)


def test_every_asset_is_listed_on_both_markets_at_its_level(market: SeededMarket) -> None:
    assert len(LISTINGS) == 2 * len(ASSETS) == 130
    for one in LISTINGS:
        bar = market.minute_bars(one, MINUTE, MINUTE)
        price = float(bar.close[0]) * one.tick / one.price_mult
        assert 0.3 < price / ASSET_MODELS[one.asset].price < 3.0, one.name
        assert one.price_mult == (1000.0 if one.symbol.startswith("1000") else 1.0)
    assert listing("1000PEPEUSDT").asset == "PEPE"
    assert listing("PEPEUSDT", "spot").price_mult == 1.0


def test_same_seed_same_history_whatever_was_asked_before(market: SeededMarket) -> None:
    one = listing("ETHUSDT")
    whole = market.minute_bars(one, MINUTE - 3_000, MINUTE)
    again = SeededMarket(11, LISTINGS).minute_bars(one, MINUTE - 1_700, MINUTE - 1_000)
    for name in (
        "open",
        "high",
        "low",
        "close",
        "volume",
        "buy_volume",
        "trades",
        "first_trade_id",
    ):
        assert np.array_equal(getattr(whole, name)[1_300:2_001], getattr(again, name)), name
    other = SeededMarket(12, LISTINGS).minute_bars(one, MINUTE - 1_700, MINUTE - 1_000)
    assert not np.array_equal(other.close, again.close)


@pytest.mark.parametrize("kind", ["perp", "spot"])
def test_the_path_has_no_gaps_and_trade_ids_no_holes(market: SeededMarket, kind: str) -> None:
    one = listing("BTCUSDT", kind)
    bars = market.minute_bars(one, MINUTE - 4 * 1_440, MINUTE)
    assert np.array_equal(bars.open[1:], bars.close[:-1])
    assert np.abs(np.diff(np.log(bars.close))).max() < 0.03
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.low > 0).all()
    assert np.array_equal(bars.first_trade_id[1:], bars.first_trade_id[:-1] + bars.trades[:-1])
    # Turnover of a day is near the asset's, and volatility too.
    assert 0.4 < bars.quote.sum() / 4 / one.daily_volume_usd < 2.5
    daily = float(np.diff(np.log(bars.close)).std()) * 1_440**0.5
    assert 0.5 < daily / ASSET_MODELS["BTC"].daily_volatility < 2.0


@pytest.mark.parametrize("one", LISTINGS, ids=lambda one: one.name)
def test_trades_of_a_minute_add_up_to_its_bar(market: SeededMarket, one: Listing) -> None:
    for minute in (MINUTE - 1, MINUTE - 777):
        bars = market.minute_bars(one, minute, minute)
        tape = market.tape(one, minute)
        made = bar_of_trades(one, tape, (minute + 1) * 60_000)
        assert made is not None
        o, h, low, c, volume, buy, quote, buy_quote, count = made
        assert (o, h, low, c) == (bars.open[0], bars.high[0], bars.low[0], bars.close[0])
        assert (volume, buy, count) == (bars.volume[0], bars.buy_volume[0], bars.trades[0])
        assert tape.lots.min() >= 1
        assert (np.diff(tape.time_ms) >= 0).all()
        assert minute * 60_000 <= tape.time_ms[0] <= tape.time_ms[-1] < (minute + 1) * 60_000
        assert quote == pytest.approx(bars.quote[0], rel=0.01)
        assert 0 < buy_quote < quote


def test_candles_are_the_minutes_put_together(market: SeededMarket) -> None:
    one = listing("ARBUSDT")
    first = floor_minute(MINUTE, 240) - 240
    bars = market.minute_bars(one, first, first + 239)
    starts, candles = aggregate(bars, 60)
    assert starts.tolist() == [first, first + 60, first + 120, first + 180]
    assert candles.open[1] == bars.open[60]
    assert candles.close[1] == bars.close[119]
    assert candles.high[1] == bars.high[60:120].max()
    assert candles.low[1] == bars.low[60:120].min()
    assert candles.volume.sum() == bars.volume.sum()
    assert candles.buy_volume[3] == bars.buy_volume[180:].sum()


def test_the_minute_in_the_making_holds_its_trades_so_far(market: SeededMarket) -> None:
    one = listing("BTCUSDT")
    bars = bars_until(market, one, MINUTE - 2, MINUTE, NOW_MS, exact_from=MINUTE)
    tape = market.tape(one, MINUTE)
    seen = tape.time_ms <= NOW_MS
    assert 0 < seen.sum() < len(tape)
    assert bars.volume[-1] == tape.lots[seen].sum()
    assert bars.close[-1] == tape.price[seen][-1]
    assert bars.high[-1] == tape.price[seen].max()


def test_weeks_begin_on_monday() -> None:
    monday = 1_795_392_000_000 // 60_000  # 2026-11-23T00:00Z
    assert floor_minute(monday + 5, 10_080) == monday
    assert floor_minute(monday - 1, 10_080) == monday - 10_080


def test_funding_follows_the_venues_formula() -> None:
    premium = np.array([-0.0010, -0.0005, 0.0, 0.0004, 0.0006, 0.0010])
    expected = [-0.0005, 0.0, 0.0001, 0.0001, 0.0001, 0.0005]
    assert USUAL.rate(premium, 8).tolist() == pytest.approx(expected, abs=1e-12)
    assert USUAL.rate(premium, 4).tolist() == pytest.approx([rate / 2 for rate in expected])
    assert USUAL.rate(np.array([1.0]), 8).tolist() == [0.02]
    hourly = [rate / 8 for rate in expected]
    assert rule_of("hyperliquid").rate(premium, 1).tolist() == pytest.approx(hourly, abs=1e-12)
    # Deribit pays what lies beyond 2.5 bps, and knows no interest.
    beyond = [-0.00075, -0.00025, 0.0, 0.00015, 0.00035, 0.00075]
    assert rule_of("deribit").rate(premium, 8).tolist() == pytest.approx(beyond, abs=1e-12)


def test_the_settled_rate_is_the_last_estimate(market: SeededMarket) -> None:
    for symbol, hours in (("BTCUSDT", 8), ("1000PEPEUSDT", 4)):
        one = listing(symbol)
        rows = market.settlements(one, NOW_MS - 30 * 86_400_000, NOW_MS)
        assert len(rows) == 30 * 24 // hours
        assert {row.funding_ms % (hours * 3_600_000) for row in rows} == {0}
        last = market.mark_state(one, rows[-1].funding_ms - 1)
        assert last.next_funding_ms == rows[-1].funding_ms
        assert last.funding_rate == pytest.approx(rows[-1].rate, abs=1e-12)
        assert rows[-1].mark == pytest.approx(last.mark_price, rel=1e-3)
        assert len({row.rate for row in rows}) > 10


def test_mark_and_index_stay_near_the_trades(market: SeededMarket) -> None:
    for symbol in ("BTCUSDT", "1000SHIBUSDT", "FARTCOINUSDT"):
        one = listing(symbol)
        state = market.mark_state(one, NOW_MS)
        touch = market.touch(one, NOW_MS)
        assert state.mark_price == pytest.approx(touch.bid * one.tick, rel=0.01)
        assert state.index_price == pytest.approx(state.mark_price, rel=0.01)


def test_books_stand_around_the_last_trade_and_change_by_deltas(market: SeededMarket) -> None:
    for one in (listing("BTCUSDT"), listing("SHIBUSDT", "spot"), listing("ARBUSDT")):
        step = NOW_MS // one.book_step_ms
        book = market.book(one, step)
        touch = market.touch(one, book.time_ms)
        assert (max(book.bids), min(book.asks)) == touch
        assert touch.bid < touch.ask
        assert min(len(book.bids), len(book.asks)) > 90
        assert min(book.bids) > 0
        assert market.book(one, step) == book
        after = market.book(one, step + 1)
        changes = book_difference(book.bids, after.bids)
        rebuilt = dict(book.bids) | dict(changes)
        assert {price: lots for price, lots in rebuilt.items() if lots} == after.bids
        assert len(changes) < 100


def test_bitcoins_book_is_a_few_hundred_million_deep(market: SeededMarket) -> None:
    one = listing("BTCUSDT")
    book = market.book(one, NOW_MS // 100)
    usd = sum(price * lots * one.tick * one.lot for price, lots in book.bids.items())
    assert 1e8 < usd < 5e9
    assert min(book.bids) / max(book.bids) < 0.985


def test_open_interest_and_positioning_move_slowly(market: SeededMarket) -> None:
    one = listing("ETHUSDT")
    grid = np.arange(NOW_MS - 86_400_000, NOW_MS, 300_000, dtype=np.int64)
    amount = market.open_interest(one, grid)
    assert (np.abs(np.diff(amount) / amount[:-1]) < 0.02).all()
    assert 0.3 < amount[-1] * one.lot * 2_950 / one.open_interest_usd < 3
    for series in ("accounts", "top_accounts", "top_positions"):
        share = market.long_share(one, series, grid)
        assert ((share > 0.2) & (share < 0.9)).all()


def test_liquidations_are_trades_of_the_tape(market: SeededMarket) -> None:
    one = listing("BTCUSDT")
    found = 0
    for minute in range(MINUTE - 200, MINUTE):
        tape = market.tape(one, minute)
        rows = set(
            zip(
                tape.time_ms.tolist(),
                tape.price.tolist(),
                tape.lots.tolist(),
                tape.is_buy.tolist(),
                strict=True,
            )
        )
        for order in market.liquidations(one, minute):
            assert (order.time_ms, order.price, order.lots, int(order.is_buy)) in rows
            found += 1
    assert found > 10
    assert market.liquidations(listing("BTCUSDT", "spot"), MINUTE) == []
