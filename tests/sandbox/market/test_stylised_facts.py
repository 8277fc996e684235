"""What is known of such markets, in numbers, on the series that the model makes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from apps.marketdata.universe import ASSETS
from apps.sandbox.faces.registry import FACES
from apps.sandbox.market.asset_days import AssetDay, AssetPaths
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.minute_path import TIMES
from apps.sandbox.market.model import SeededMarket
from apps.sandbox.market.noise import FloatArray

NOW_MS = 1_795_200_123_456
MINUTE = NOW_MS // 60_000
TODAY = MINUTE // 1_440
DAYS = 50
WATCHED = ("BTC", "ETH", "DOGE", "TRX", "PUMP")


@cache
def market() -> SeededMarket:
    listings = [one for face in FACES for one in face.listings(("BTC", "ETH", "ARB", "HYPE"))]
    return SeededMarket(5, listings)


def listing(venue: str, asset: str, kind: str = "perp") -> Listing:
    return next(
        one for one in market().listings if (one.venue, one.asset, one.kind) == (venue, asset, kind)
    )


@cache
def days(asset: str, count: int = DAYS) -> tuple[AssetDay, ...]:
    paths = AssetPaths(5)
    return tuple(paths.day(asset, day) for day in range(TODAY - count, TODAY))


def joined(asset: str, name: str) -> FloatArray:
    return np.concatenate([getattr(day, name) for day in days(asset)]).astype(np.float64)


def returns(asset: str, minutes: int = 1) -> FloatArray:
    path = np.concatenate([day.path[:-1] for day in days(asset)])[::minutes]
    return np.diff(path)


def autocorrelation(values: FloatArray, lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


def over(values: FloatArray, width: int) -> FloatArray:
    """Sums of ``width`` neighbours."""
    whole = len(values) // width * width
    out: FloatArray = values[:whole].reshape(-1, width).sum(axis=1)
    return out


@pytest.mark.parametrize("asset", WATCHED)
def test_returns_have_fat_tails_that_thin_out_over_time(asset: str) -> None:
    def kurtosis(values: FloatArray) -> float:
        return float((values**4).mean() / (values**2).mean() ** 2)

    minutes = kurtosis(returns(asset))
    assert 6.0 < minutes < 60.0
    assert 3.0 < kurtosis(returns(asset, 240)) < minutes


@pytest.mark.parametrize("asset", WATCHED)
def test_volatility_clusters_and_returns_do_not(asset: str) -> None:
    moves = returns(asset)
    for lag in (1, 2, 5, 15, 60, 240):
        assert abs(autocorrelation(moves, lag)) < 0.05, lag
    sizes = np.abs(moves)
    found = [autocorrelation(sizes, lag) for lag in (1, 10, 60, 1_440)]
    for value, least in zip(found, (0.2, 0.15, 0.08, 0.02), strict=True):
        assert value > least
    assert found[0] > found[2] > found[3] - 0.03


@pytest.mark.parametrize("asset", WATCHED)
def test_a_days_volatility_is_the_assets(asset: str) -> None:
    from apps.sandbox.market.assets import ASSET_MODELS

    daily = float(returns(asset).std()) * 1_440**0.5
    assert 0.6 < daily / ASSET_MODELS[asset].daily_volatility < 1.6


def test_some_hours_are_busier_than_others() -> None:
    sizes = np.zeros(24)
    for asset in WATCHED:
        moves = np.abs(np.concatenate([np.diff(day.path) for day in days(asset)]))
        by_hour = moves.reshape(-1, 24, 60).mean(axis=(0, 2))
        sizes += by_hour / by_hour.mean()
    assert 12 <= int(sizes.argmax()) <= 18
    assert 1.3 < sizes.max() / sizes.min() < 3.0


def test_volume_goes_with_volatility() -> None:
    for venue, asset in (("binance", "BTC"), ("okx", "ETH"), ("bybit", "ARB")):
        one = listing(venue, asset)
        bars = market().minute_bars(one, MINUTE - 10 * 1_440, MINUTE - 1)
        moves = np.abs(np.log(bars.close / bars.open))
        spans = over(moves, 5), over(bars.quote, 5), over(bars.trades.astype(float), 5)
        assert np.corrcoef(spans[0], spans[1])[0, 1] > 0.5
        assert np.corrcoef(spans[0], spans[2])[0, 1] > 0.5
        flow = 2.0 * bars.buy_volume - bars.volume
        signed = np.log(bars.close / bars.open)
        assert 0.2 < np.corrcoef(flow, signed)[0, 1] < 0.9


def test_spreads_widen_and_depth_goes_when_it_is_volatile() -> None:
    one = listing("binance", "ARB")
    minutes = range(MINUTE - 5 * 1_440, MINUTE - 1_440, 29)
    spreads, volatility, depth = [], [], []
    levels = market().volatility_path(one, np.array(minutes, dtype=np.int64))
    for minute, level in zip(minutes, levels.tolist(), strict=True):
        book = market().book(one, (minute * 60_000 + 30_000) // one.book_step_ms)
        spreads.append(min(book.asks) - max(book.bids))
        depth.append(np.median(list(book.bids.values())))
        volatility.append(level)
    assert min(spreads) >= 1
    assert np.corrcoef(spreads, volatility)[0, 1] > 0.6
    assert np.corrcoef(np.log(depth), np.log(volatility))[0, 1] < -0.4


def test_assets_move_together_to_their_own_degree() -> None:
    paths = AssetPaths(5)
    names = [asset for asset in ASSETS if asset in ("BTC", "ETH", "SOL") or asset[0] in "ALPZ"]
    moves = np.array(
        [
            np.concatenate(
                [np.diff(paths.day(asset, day).path[::60]) for day in range(TODAY - 20, TODAY)]
            )
            for asset in names
        ]
    )
    found = np.corrcoef(moves)
    pairs = found[np.triu_indices(len(names), 1)]
    assert found[names.index("BTC"), names.index("ETH")] > 0.65
    assert 0.4 < pairs.mean() < 0.75
    assert pairs.min() > 0.1
    assert pairs.max() < 0.93


def test_trades_excite_each_other() -> None:
    """Counts are overdispersed within minutes as in a Hawkes process, and takers' sides persist."""
    one = listing("binance", "BTC")
    tapes = [market().tape(one, MINUTE - back) for back in range(240, 0, -1)]
    counts = np.array(
        [np.bincount((tape.time_ms % 60_000) // 1_000, minlength=60) for tape in tapes], dtype=float
    )
    means = counts.mean(axis=1)
    fano = float((counts.var(axis=1, ddof=1) / means).mean())
    branching = 1.0 - 1.0 / fano**0.5
    assert 0.2 < branching < 0.8
    whole = counts.sum(axis=1)
    assert whole.var() / whole.mean() > 10.0
    assert autocorrelation(whole, 1) > 0.2
    signs = np.concatenate([tape.is_buy for tape in tapes]) * 2.0 - 1.0
    assert [autocorrelation(signs, lag) > 0.04 for lag in (1, 5, 20)] == [True] * 3


def test_a_few_trades_are_large() -> None:
    lots = np.concatenate(
        [market().tape(listing("binance", "BTC"), MINUTE - back).lots for back in range(60)]
    )
    ordered = np.sort(lots)[::-1]
    assert 0.08 < ordered[: len(lots) // 100].sum() / lots.sum() < 0.6


def followers() -> list[tuple[str, int]]:
    return [("bybit", 150), ("okx", 250), ("hyperliquid", 600)]


def middles(one: Listing, minutes: range) -> FloatArray:
    """Log mid price every 100 ms."""
    grid = np.arange(0, 60_000, 100, dtype=np.float64)
    inner = [
        np.interp(grid, TIMES, np.array(market()._minutes.at(one, minute).middle))
        for minute in minutes
    ]
    out: FloatArray = np.log(np.concatenate(inner))
    return out


@pytest.mark.parametrize(("venue", "lag_ms"), followers())
def test_one_venue_leads_and_the_others_follow_within_a_second(venue: str, lag_ms: int) -> None:
    minutes = range(MINUTE - 30, MINUTE)
    leader = np.diff(middles(listing("binance", "BTC"), minutes))
    follower = np.diff(middles(listing(venue, "BTC"), minutes))
    lags = range(-10, 11)
    found = [
        float(np.corrcoef(leader[10:-10], np.roll(follower, -lag)[10:-10])[0, 1]) for lag in lags
    ]
    best = lags[int(np.argmax(found))] * 100
    assert best > 0
    assert abs(best - lag_ms) <= 100
    assert max(found) > 0.6


def test_the_home_market_of_a_coin_leads() -> None:
    minutes = range(MINUTE - 30, MINUTE)
    leader = np.diff(middles(listing("hyperliquid", "HYPE"), minutes))
    follower = np.diff(middles(listing("binance", "HYPE"), minutes))
    ahead = np.corrcoef(leader[:-2], follower[2:])[0, 1]
    behind = np.corrcoef(leader[2:], follower[:-2])[0, 1]
    assert ahead > 0.5 > behind + 0.2


def test_venues_differ_a_little_and_so_there_is_arbitrage_now_and_then() -> None:
    times = range((MINUTE - 60) * 60_000, MINUTE * 60_000, 1_000)

    def mid(one: Listing) -> FloatArray:
        touches = [market().touch(one, at) for at in times]
        return np.array([(touch.bid + touch.ask) / 2 * one.tick for touch in touches])

    leader = mid(listing("binance", "BTC"))
    for venue, _ in followers():
        gap = (mid(listing(venue, "BTC")) / leader - 1.0) * 1e4
        assert 0.2 < gap.std() < 5.0
        assert np.abs(gap).max() < 25.0


def test_liquidations_come_in_clusters_and_with_moves_against_them() -> None:
    for asset in WATCHED:
        longs, shorts = joined(asset, "longs"), joined(asset, "shorts")
        moves = np.concatenate([np.diff(day.path) for day in days(asset)])
        spans = over(longs + shorts, 5)
        # A few spans hold most of it.
        top = np.sort(spans)[::-1][: len(spans) // 50].sum() / spans.sum()
        assert top > 0.4
        assert autocorrelation(np.log1p(spans * 1e5), 1) > 0.3
        assert np.corrcoef(over(longs - shorts, 5), over(moves, 5))[0, 1] < -0.2
        assert moves[longs > np.quantile(longs, 0.999)].mean() < 0
        assert moves[shorts > np.quantile(shorts, 0.999)].mean() > 0


def test_what_opens_closes_and_is_liquidated_explains_open_interest() -> None:
    for asset in WATCHED:
        interest = np.concatenate([day.interest[:-1] for day in days(asset)])
        gone = joined(asset, "longs") + joined(asset, "shorts")
        # Between two hours, what is opened and closed goes with the pace of trading.
        pace = joined(asset, "pace")[:-1]
        flow = (np.diff(interest) + gone[:-1])[: len(gone) // 60 * 60 - 60].reshape(-1, 60)
        share = pace[: flow.size].reshape(-1, 60)
        share = share / share.sum(axis=1, keepdims=True)
        explained = flow.sum(axis=1, keepdims=True) * share
        assert np.abs(flow - explained).max() < 1e-9
        hourly = np.diff(interest[::60]), over(gone, 60)[: len(interest[::60]) - 1]
        worst = hourly[1] > np.quantile(hourly[1], 0.99)
        assert hourly[0][worst].mean() < -0.3 * hourly[1][worst].mean()
        assert interest.min() > 0.5
        assert interest.max() < 1.7
        assert 0.003 < gone.sum() / DAYS < 0.06


def test_open_interest_of_a_listing_has_no_seam_between_history_and_now() -> None:
    one = listing("binance", "ETH")
    grid = np.arange(TODAY * 86_400_000 - 3_600_000, TODAY * 86_400_000 + 3_600_000, 300_000)
    coarse = market().open_interest(one, grid)
    fine = np.array([market().open_interest(one, np.array([at + 1]))[0] for at in grid.tolist()])
    assert np.abs(fine / coarse - 1.0).max() < 1e-4
    assert np.abs(np.diff(coarse) / coarse[:-1]).max() < 0.02


def test_funding_differs_between_venues_and_reverts_to_its_mean() -> None:
    rates = {}
    for venue in ("binance", "bybit", "okx", "hyperliquid", "deribit"):
        one = listing(venue, "BTC")
        settled = market().settlements(one, NOW_MS - 120 * 86_400_000, NOW_MS)
        hours = one.funding_interval_h or 8
        rates[venue] = np.array([row.rate for row in settled]) * 8.0 / hours
        eight = rates[venue][:: 8 // hours]
        assert 0.5 < autocorrelation(eight, 1) < 0.985, venue
        change = np.diff(eight)
        away = eight[:-1] - eight.mean()
        assert np.polyfit(away, change, 1)[0] < 0, venue
        assert np.abs(rates[venue]).max() < 0.003
    same_grid = [rates[venue] for venue in ("binance", "bybit", "okx")]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert 0.3 < np.corrcoef(same_grid[first], same_grid[second])[0, 1] < 0.99
    # Most of the time Deribit's premium is within what it does not charge.
    assert 0.2 < (rates["deribit"] == 0).mean() < 0.95


def test_shares_of_longs_follow_returns_each_in_its_way() -> None:
    one = listing("binance", "ETH")
    times = np.arange(NOW_MS // 3_600_000 - 24 * 90, NOW_MS // 3_600_000) * 3_600_000
    price = np.log(market().index_path(one, times // 60_000))
    moved = price[24:] - price[:-24]
    accounts, largest = (
        market().long_share(one, series, times)[24:] for series in ("accounts", "top_positions")
    )
    assert np.corrcoef(accounts, moved)[0, 1] < -0.25
    assert np.corrcoef(largest, moved)[0, 1] > 0.25
    assert 0.02 < accounts.std() < 0.1
    other = market().long_share(listing("bybit", "ETH"), "accounts", times)[24:]
    assert 0.5 < np.corrcoef(accounts, other)[0, 1] < 1.0
