"""An estimate of liquidations, which Hyperliquid does not publish. Pure; fed with the stream's events.

A forced close is one large order of the venue's that sweeps a side of the book, and it takes about as many
coins out of open interest. So: between two samples of open interest, the largest one-sided sweep of the
trades, if open interest fell by about its size. Ordinary market closes look the same: quality is
``estimated``, confidence is low, and the figures are no part of sums of published liquidations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.marketdata.events import (
    Event,
    Liquidation,
    OpenInterest,
    PositionSide,
    Quality,
    Side,
    Trade,
)
from apps.venues.stream_client import OnEvent

NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a sweep counts."""

    notional_usd: float = 50_000.0
    """Smaller sweeps are everyday market orders."""
    gap_ms: int = 250
    """Trades of one side that follow each other within this time are one sweep."""
    tolerance: float = 0.35
    """Sweep and fall of open interest may differ by this share of the larger one."""
    window_share: float = 0.6
    """The sweep's part of all trades between the two samples."""
    sample_s: float = 60.0
    """Samples further apart say nothing about a single sweep."""


@dataclass(slots=True)
class _Sweep:
    side: Side
    last_ns: int
    qty: float
    notional: float
    trades: int


class LiquidationEstimator:
    """One instrument: hand over its trades and its open interest in order of time."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._rules = thresholds or Thresholds()
        self._before: OpenInterest | None = None
        self._current: _Sweep | None = None
        self._largest: _Sweep | None = None
        self._traded = 0.0

    def on_trade(self, trade: Trade) -> None:
        """Only trades after the last sample count, which a backlog's are not."""
        if self._before is None or trade.ts_event < self._before.ts_event:
            return
        self._traded += trade.qty_base
        sweep = self._current
        gap_ns = self._rules.gap_ms * NS_PER_MS
        if (
            sweep is None
            or sweep.side is not trade.aggressor_side
            or trade.ts_event - sweep.last_ns > gap_ns
        ):
            sweep = self._current = _Sweep(trade.aggressor_side, trade.ts_event, 0.0, 0.0, 0)
        sweep.last_ns = trade.ts_event
        sweep.qty += trade.qty_base
        sweep.notional += trade.qty_base * trade.price
        sweep.trades += 1
        if self._largest is None or sweep.notional > self._largest.notional:
            self._largest = sweep

    def on_open_interest(self, sample: OpenInterest) -> Liquidation | None:
        """The liquidation that the time since the last sample looks like, if any."""
        before, largest, traded = self._before, self._largest, self._traded
        self._before = sample
        self._current = self._largest = None
        self._traded = 0.0
        if before is None or largest is None:
            return None
        age_s = (sample.ts_event - before.ts_event) / 1e9
        if not 0 < age_s <= self._rules.sample_s or largest.qty < self._rules.window_share * traded:
            return None
        fall = before.oi_base - sample.oi_base
        qty = min(fall, largest.qty)
        price = largest.notional / largest.qty if largest.qty else 0.0
        if qty * price < self._rules.notional_usd:
            return None
        if abs(fall - largest.qty) > self._rules.tolerance * max(fall, largest.qty):
            return None
        # A forced sale closes a long.
        closed = PositionSide.LONG if largest.side is Side.SELL else PositionSide.SHORT
        return Liquidation(
            sample.instrument,
            largest.last_ns,
            sample.ts_recv,
            closed,
            price,
            qty,
            qty * price,
            Quality.ESTIMATED,
            f"estimate:{sample.instrument.symbol}:{largest.last_ns}:{largest.side.value}",
        )


class EstimatedLiquidations:
    """Passes a stream's events on, and behind them the liquidations that they look like."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._estimators: dict[str, LiquidationEstimator] = {}

    def on_event(self, event: Event) -> None:
        self._on_event(event)
        if isinstance(event, Trade):
            self._of(event.instrument.key).on_trade(event)
        elif isinstance(event, OpenInterest):
            found = self._of(event.instrument.key).on_open_interest(event)
            if found is not None:
                self._on_event(found)

    def _of(self, key: str) -> LiquidationEstimator:
        known = self._estimators.get(key)
        if known is None:
            known = self._estimators[key] = LiquidationEstimator()
        return known
