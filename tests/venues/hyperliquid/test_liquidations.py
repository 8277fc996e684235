"""When a sweep and a fall of open interest look like a liquidation, and when they do not."""

from __future__ import annotations

import random

from apps.marketdata.events import (
    Event,
    Liquidation,
    OpenInterest,
    PositionSide,
    Quality,
    Side,
    Trade,
)
from apps.venues.base import VenueEndpoints
from apps.venues.hyperliquid.liquidations import LiquidationEstimator, Thresholds
from apps.venues.hyperliquid.stream import stream_plan
from apps.venues.registry import ADAPTERS
from tests.venues.adapter_contract import fixture_instruments

BTC, PEPE, _ = fixture_instruments("hyperliquid")
T = 1_763_719_200_000
SELL, BUY = Side.SELL, Side.BUY
Print = tuple[int, Side, float, float]
SWEEP: list[Print] = [
    (1_000, SELL, 90_000.0, 2.0),
    (1_000, SELL, 89_950.0, 3.0),
    (1_100, SELL, 89_900.0, 5.0),
]


def interest(after_ms: int, coins: float) -> OpenInterest:
    at = (T + after_ms) * 1_000_000
    return OpenInterest(BTC, at, at + 5, coins, coins, coins * 90_000.0)


def estimate(
    trades: list[Print],
    before: float = 1_000.0,
    after: float = 990.5,
    *,
    span_ms: int = 3_000,
    thresholds: Thresholds | None = None,
) -> Liquidation | None:
    estimator = LiquidationEstimator(thresholds)
    assert estimator.on_open_interest(interest(0, before)) is None
    for number, (at_ms, side, price, qty) in enumerate(trades):
        at = (T + at_ms) * 1_000_000
        estimator.on_trade(Trade(BTC, at, at, price, qty, side, str(number)))
    return estimator.on_open_interest(interest(span_ms, after))


def test_a_forced_sale_is_a_long() -> None:
    found = estimate(SWEEP)
    assert found is not None
    assert (found.position_side, found.quality) == (PositionSide.LONG, Quality.ESTIMATED)
    # The smaller of sweep (10) and fall (9.5), at the sweep's mean price.
    assert found.qty_base == 9.5
    assert found.price == (2 * 90_000 + 3 * 89_950 + 5 * 89_900) / 10
    assert found.notional_usd == found.price * 9.5
    assert found.ts_event == (T + 1_100) * 1_000_000
    assert found.event_id == f"estimate:BTC:{found.ts_event}:sell"


def test_a_forced_purchase_is_a_short() -> None:
    found = estimate([(at, BUY, price, qty) for at, _, price, qty in SWEEP])
    assert found is not None
    assert found.position_side is PositionSide.SHORT


def test_open_interest_must_fall_by_about_the_sweep() -> None:
    assert estimate(SWEEP, after=1_000.0) is None
    assert estimate(SWEEP, after=1_010.0) is None
    assert estimate(SWEEP, after=997.0) is None
    assert estimate(SWEEP, after=980.0) is None
    assert estimate(SWEEP, after=993.4) is not None


def test_small_sweeps_are_everyday_orders() -> None:
    small: list[Print] = [(1_000, SELL, 90_000.0, 0.4)]
    assert estimate(small, after=999.6) is None
    assert estimate(small, after=999.6, thresholds=Thresholds(notional_usd=30_000.0)) is not None


def test_it_must_be_most_of_what_was_traded() -> None:
    crowd: list[Print] = [(2_000 + step * 300, BUY, 90_000.0, 4.0) for step in range(3)]
    assert estimate([*SWEEP, *crowd]) is None
    assert estimate([*SWEEP, *crowd[:1]]) is not None


def test_trades_far_apart_are_no_sweep() -> None:
    apart: list[Print] = [(500 + step * 400, SELL, 90_000.0, 2.0) for step in range(5)]
    assert estimate(apart, after=990.0) is None


def test_samples_far_apart_say_nothing() -> None:
    assert estimate(SWEEP, span_ms=61_000) is None
    assert estimate(SWEEP, span_ms=0) is None


def test_a_backlog_from_before_the_sample_does_not_count() -> None:
    assert estimate([(at - 5_000, side, price, qty) for at, side, price, qty in SWEEP]) is None
    assert LiquidationEstimator().on_open_interest(interest(0, 1.0)) is None


def test_each_span_stands_for_itself() -> None:
    estimator = LiquidationEstimator()
    estimator.on_open_interest(interest(0, 1_000.0))
    for number, (at_ms, side, price, qty) in enumerate(SWEEP):
        at = (T + at_ms) * 1_000_000
        estimator.on_trade(Trade(BTC, at, at, price, qty, side, str(number)))
    assert estimator.on_open_interest(interest(3_000, 1_000.0)) is None
    # The fall comes a sample too late: that sweep is over.
    assert estimator.on_open_interest(interest(6_000, 990.0)) is None


def test_the_venues_stream_tells_estimates_like_published_liquidations() -> None:
    """Through the client that ingest makes: interest, a sweep, less interest."""
    told: list[Event] = []
    client = ADAPTERS["hyperliquid"].stream_client(
        endpoints=VenueEndpoints("", ""),
        instruments=[BTC, PEPE],
        stream_plan=stream_plan([BTC, PEPE]),
        on_event=told.append,
        on_state=lambda state: None,
        now_ns=lambda: T * 1_000_000,
        rng=random.Random(1),
    )
    deliver = client._deliver  # type: ignore[attr-defined]  # what a session calls with each event
    deliver(interest(0, 1_000.0))
    trades = [
        Trade(BTC, (T + at_ms) * 1_000_000, 0, price, qty, side, str(number))
        for number, (at_ms, side, price, qty) in enumerate(SWEEP)
    ]
    for trade in trades:
        deliver(trade)
    # Another coin's interest ends nothing of this one's.
    deliver(OpenInterest(PEPE, (T + 2_000) * 1_000_000, 0, 5.0, 5.0, None))
    deliver(interest(3_000, 990.5))
    (found,) = [event for event in told if isinstance(event, Liquidation)]
    assert told[-1] is found
    assert (found.instrument, found.qty_base, found.quality) == (BTC, 9.5, Quality.ESTIMATED)
    assert [event for event in told if isinstance(event, Trade)] == trades
    assert len(told) == 7
