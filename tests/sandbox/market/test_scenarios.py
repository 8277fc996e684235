"""Scenarios: what has been said stays, what comes follows them, and all parts of the market together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.sandbox.faces.registry import FACES
from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.model import SeededMarket
from apps.sandbox.market.scenarios import Scenario, ScenarioKind

START_MS = 1_795_212_345_678
MINUTE = START_MS // 60_000
DURATION_MS = 45 * 60_000
END = MINUTE + 46
LISTINGS = tuple(one for face in FACES for one in face.listings(("BTC", "SOL")))
COLUMNS = ("open", "high", "low", "close", "volume", "buy_volume", "trades", "first_trade_id")


def listing(venue: str, asset: str = "BTC", kind: str = "perp") -> Listing:
    return next(one for one in LISTINGS if (one.venue, one.asset, one.kind) == (venue, asset, kind))


def scenario(kind: ScenarioKind, strength: float = 1.0, start_ms: int = START_MS) -> Scenario:
    return Scenario(kind, ("BTC",), start_ms, DURATION_MS, strength)


def both(kind: ScenarioKind, strength: float = 1.0) -> tuple[SeededMarket, SeededMarket]:
    """The market with a scenario, and as it would have been."""
    market = SeededMarket(9, LISTINGS)
    market.start(scenario(kind, strength))
    return market, SeededMarket(9, LISTINGS)


def forced_usd(market: SeededMarket, one: Listing, first: int, last: int) -> float:
    return sum(
        order.lots * one.lot * order.price * one.tick
        for minute in range(first, last)
        for order in market.liquidations(one, minute)
    )


def moved(market: SeededMarket, first: int, last: int, asset: str = "BTC") -> float:
    path = market.index_path(listing("binance", asset), np.array([first, last], dtype=np.int64))
    return math.log(path[1] / path[0]) / ASSET_MODELS[asset].daily_volatility


def wobble(market: SeededMarket, first: int, last: int, asset: str = "BTC") -> float:
    minutes = np.arange(first, last, dtype=np.int64)
    return float(np.diff(np.log(market.index_path(listing("binance", asset), minutes))).std())


@pytest.mark.parametrize("kind", ScenarioKind)
def test_the_past_stays_and_the_rest_does_not(kind: ScenarioKind) -> None:
    market = SeededMarket(9, LISTINGS)
    one = listing("binance")
    step = START_MS // one.book_step_ms
    times = np.arange(MINUTE - 300, MINUTE + 1, dtype=np.int64) * 60_000

    def seen() -> list[object]:
        bars = market.minute_bars(one, MINUTE - 1_500, MINUTE)
        tape = market.tape(one, MINUTE)
        return [
            *(getattr(bars, name).tolist() for name in COLUMNS),
            tape.price.tolist(),
            tape.time_ms.tolist(),
            tape.lots.tolist(),
            market.book(one, step),
            market.mark_state(one, START_MS),
            market.open_interest(one, times).tolist(),
            market.settlements(one, START_MS - 86_400_000, START_MS),
            [market.liquidations(one, minute) for minute in range(MINUTE - 90, MINUTE + 1)],
            market.long_share(one, "accounts", times).tolist(),
        ]

    # What lies ahead has been worked out already, and must be forgotten.
    ahead = market.minute_bars(one, MINUTE + 1, MINUTE + 3_000)
    before = seen()
    market.start(scenario(kind))
    assert seen() == before
    after = market.minute_bars(one, MINUTE + 1, MINUTE + 3_000)
    assert after.open[0] == ahead.open[0]
    assert not np.array_equal(after.close[:60], ahead.close[:60]) or kind in (
        ScenarioKind.FUNDING_EXTREME,
    )
    assert market.scenarios == (scenario(kind),)
    # Others go on as they would have.
    other = listing("binance", "SOL")
    calm = SeededMarket(9, LISTINGS).minute_bars(other, MINUTE, MINUTE + 200)
    assert np.array_equal(market.minute_bars(other, MINUTE, MINUTE + 200).close, calm.close)


@pytest.mark.parametrize("kind", ScenarioKind)
def test_what_follows_is_the_same_for_whoever_asks_late(kind: ScenarioKind) -> None:
    warm = SeededMarket(9, LISTINGS)
    one = listing("bybit")
    warm.minute_bars(one, MINUTE - 5_000, MINUTE + 5_000)
    warm.open_interest(one, np.array([(MINUTE + 5_000) * 60_000]))
    warm.start(scenario(kind))
    fresh = SeededMarket(9, LISTINGS)
    fresh.start(scenario(kind))
    first, last = MINUTE - 700, MINUTE + 4_000
    bars, again = (market.minute_bars(one, first, last) for market in (warm, fresh))
    for name in COLUMNS:
        assert np.array_equal(getattr(bars, name), getattr(again, name)), name
    assert np.array_equal(bars.open[1:], bars.close[:-1])
    ids = bars.first_trade_id
    assert np.array_equal(ids[1:], ids[:-1] + bars.trades[:-1])
    times = np.arange(first, last, 7, dtype=np.int64) * 60_000
    assert np.array_equal(warm.open_interest(one, times), fresh.open_interest(one, times))
    for minute in (MINUTE + 1, MINUTE + 20, MINUTE + 44):
        assert warm.liquidations(one, minute) == fresh.liquidations(one, minute)
        step = minute * 60_000 // one.book_step_ms + 30
        assert warm.book(one, step) == fresh.book(one, step)


def test_scenarios_one_after_the_other_keep_what_each_has_seen() -> None:
    market = SeededMarket(9, LISTINGS)
    one = listing("okx")
    market.start(scenario(ScenarioKind.TREND_UP))
    second_ms = START_MS + 17 * 60_000
    between = market.minute_bars(one, MINUTE - 60, MINUTE + 17)
    times = np.arange(MINUTE - 60, MINUTE + 18, dtype=np.int64) * 60_000
    interest = market.open_interest(one, times)
    market.start(scenario(ScenarioKind.CASCADE, start_ms=second_ms))
    again = market.minute_bars(one, MINUTE - 60, MINUTE + 17)
    for name in COLUMNS:
        assert np.array_equal(getattr(between, name), getattr(again, name)), name
    assert np.array_equal(market.open_interest(one, times), interest)
    later = market.minute_bars(one, MINUTE, MINUTE + 3_000)
    assert np.array_equal(later.first_trade_id[1:], later.first_trade_id[:-1] + later.trades[:-1])


def test_a_cascade_moves_everything_together() -> None:
    market, usual = both(ScenarioKind.CASCADE)
    worst = MINUTE + 29
    assert moved(market, MINUTE + 1, worst) < -2.0
    for venue in ("binance", "bybit", "okx", "hyperliquid", "deribit"):
        one = listing(venue)
        before = forced_usd(usual, one, MINUTE - 44, MINUTE + 1)
        during = forced_usd(market, one, MINUTE + 1, END)
        assert during > 10.0 * max(before, 1e5), venue
        orders = [
            order
            for minute in range(MINUTE + 1, worst)
            for order in market.liquidations(one, minute)
        ]
        sold = sum(order.lots for order in orders if not order.is_buy)
        assert sold > 0.9 * sum(order.lots for order in orders), venue
        at = np.array([START_MS, worst * 60_000], dtype=np.int64)
        lots = market.open_interest(one, at)
        assert lots[1] < 0.97 * lots[0], venue
        # What was forced is most of what is gone.
        gone = lots[0] - lots[1]
        assert 0.5 < sum(order.lots for order in orders) / gone < 2.0, venue
        step = (worst - 5) * 60_000 // one.book_step_ms
        depth, normal = (
            float(np.median(list(model.book(one, step).bids.values()))) for model in (market, usual)
        )
        assert depth < 0.6 * normal, venue
        state = market.mark_state(one, worst * 60_000)
        quiet = usual.mark_state(one, worst * 60_000)
        assert state.funding_rate < quiet.funding_rate or venue == "deribit", venue
        assert state.mark_price / state.index_price < quiet.mark_price / quiet.index_price
    volumes = [
        model.minute_bars(listing("binance"), MINUTE + 1, END).quote.sum()
        for model in (market, usual)
    ]
    assert volumes[0] > 2.0 * volumes[1]


def test_stronger_cascades_go_deeper() -> None:
    falls = [
        moved(both(ScenarioKind.CASCADE, strength)[0], MINUTE + 1, MINUTE + 29)
        for strength in (0.5, 1.0, 2.0)
    ]
    assert falls[0] > falls[1] > falls[2]


def test_trends_have_their_direction_and_flow() -> None:
    for kind, sign in ((ScenarioKind.TREND_UP, 1), (ScenarioKind.TREND_DOWN, -1)):
        market, usual = both(kind)
        drift = moved(market, MINUTE + 1, END) - moved(usual, MINUTE + 1, END)
        assert sign * drift > 0.5
        bars, normal = (
            model.minute_bars(listing("binance"), MINUTE + 1, END - 1) for model in (market, usual)
        )
        shares = [one.buy_volume.sum() / one.volume.sum() for one in (bars, normal)]
        assert sign * (shares[0] - shares[1]) > 0.005


def test_calm_is_calm_and_a_new_regime_is_not() -> None:
    for kind, low, high in (
        (ScenarioKind.CALM, 0.3, 0.75),
        (ScenarioKind.REGIME_CHANGE, 1.5, 5.0),
        (ScenarioKind.GAMMA_FLIP, 1.4, 3.0),
    ):
        market, usual = both(kind)
        ratio = wobble(market, MINUTE + 8, END - 6) / wobble(usual, MINUTE + 8, END - 6)
        assert low < ratio < high, kind


def test_extreme_funding_shows_in_premium_and_rate() -> None:
    market = SeededMarket(9, LISTINGS)
    eight_hours = 8 * 3_600_000
    market.start(Scenario(ScenarioKind.FUNDING_EXTREME, (), START_MS, 3 * eight_hours, 1.0))
    usual = SeededMarket(9, LISTINGS)
    for venue in ("binance", "hyperliquid", "deribit"):
        one = listing(venue)
        end = START_MS + 2 * eight_hours
        rate, normal = (
            model.settlements(one, START_MS, end)[-1].rate * 8 / (one.funding_interval_h or 8)
            for model in (market, usual)
        )
        assert rate > normal + 8e-4, venue
        state = market.mark_state(one, end)
        assert state.mark_price / state.index_price - 1.0 > 5e-4, venue


def test_an_expiry_draws_the_price_to_a_strike_and_lets_go() -> None:
    market, usual = both(ScenarioKind.OPTION_EXPIRY, 3.0)
    one = listing("binance")
    minutes = np.arange(MINUTE + 16, END - 1, dtype=np.int64)
    pinned, free = (model.index_path(one, minutes) for model in (market, usual))
    away = np.abs(pinned / 500.0 - np.rint(pinned / 500.0)) * 500.0 / pinned
    assert away[-15:].max() < 0.0015
    assert np.diff(np.log(pinned)).std() < 0.7 * np.diff(np.log(free)).std()
    late = np.array([END + 120], dtype=np.int64)
    assert market.index_path(one, late)[0] == pytest.approx(
        usual.index_path(one, late)[0], rel=2e-3
    )


def test_what_a_scenario_left_behind_fades() -> None:
    market, usual = both(ScenarioKind.CASCADE)
    one = listing("binance")
    minutes = END + np.array([0, 2, 6, 20], dtype=np.int64) * 1_440
    gap = np.abs(np.log(market.index_path(one, minutes) / usual.index_path(one, minutes)))
    assert gap[0] > gap[1] > gap[2] > gap[3]
    assert gap[3] < 0.02 * gap[0]


def test_scenarios_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="duration"):
        Scenario(ScenarioKind.CALM, (), START_MS, 0)
    for strength in (0.0, -1.0, 5.1, math.nan):
        with pytest.raises(ValueError, match="strength"):
            Scenario(ScenarioKind.CALM, (), START_MS, 1, strength)
    assert Scenario(ScenarioKind.CALM, (), START_MS, 1).touches("BTC")
    assert not Scenario(ScenarioKind.CALM, ("ETH",), START_MS, 1).touches("BTC")
