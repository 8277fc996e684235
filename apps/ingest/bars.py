"""One-minute bars out of trades. Pure: time comes in with the trades and with ``close_due``.

A trade belongs to the minute of its event time. A minute closes ``SETTLE_MS`` after its end, so that
trades still on the wire are in; one that comes later, up to ``AMEND_MS`` after the end, amends the closed
bar, which is then given out again. A minute without a trade has no bar.
"""

from __future__ import annotations

from typing import Final

import msgspec

from apps.marketdata.events import Side, Trade

MINUTE_MS: Final = 60_000
MINUTE_NS: Final = 60_000_000_000
SETTLE_MS: Final = 1_500
AMEND_MS: Final = 120_000


class MinuteBar(msgspec.Struct, gc=False):
    """Volumes in coins and USD; ``buy_*`` is the part where the taker bought."""

    open_ts_ms: int
    open: float
    high: float
    low: float
    close: float
    first_ns: int
    last_ns: int
    volume_base: float = 0.0
    volume_usd: float = 0.0
    buy_base: float = 0.0
    buy_usd: float = 0.0
    trades: int = 0
    is_changed: bool = True
    """Has trades that were not given out yet."""

    def add(self, trade: Trade) -> None:
        price, qty = trade.price, trade.qty_base
        if price > self.high:
            self.high = price
        if price < self.low:
            self.low = price
        if trade.ts_event >= self.last_ns:
            self.close, self.last_ns = price, trade.ts_event
        if trade.ts_event < self.first_ns:
            self.open, self.first_ns = price, trade.ts_event
        self.volume_base += qty
        self.volume_usd += price * qty
        if trade.aggressor_side is Side.BUY:
            self.buy_base += qty
            self.buy_usd += price * qty
        self.trades += 1
        self.is_changed = True

    @property
    def end_ms(self) -> int:
        return self.open_ts_ms + MINUTE_MS


class BarBuilder:
    """The minutes of one instrument that may still change, oldest first."""

    __slots__ = ("_bars", "late_trades")

    def __init__(self) -> None:
        self._bars: dict[int, MinuteBar] = {}
        self.late_trades = 0

    def add(self, trade: Trade, now_ms: int) -> None:
        """Count a trade into its minute; ``now_ms`` is market time."""
        minute = trade.ts_event // MINUTE_NS
        bar = self._bars.get(minute)
        if bar is None:
            open_ts_ms = minute * MINUTE_MS
            if now_ms - (open_ts_ms + MINUTE_MS) > AMEND_MS:
                self.late_trades += 1
                return
            price = trade.price
            moment = trade.ts_event
            bar = MinuteBar(open_ts_ms, price, price, price, price, moment, moment)
            self._bars[minute] = bar
        bar.add(trade)

    def newest(self) -> MinuteBar | None:
        """The bar in the making, or the last one while its successor has no trade."""
        return self._bars[max(self._bars)] if self._bars else None

    def close_due(self, now_ms: int) -> list[MinuteBar]:
        """Closed bars that are new or were amended since the last call, oldest first."""
        return self._give_out(now_ms, now_ms - SETTLE_MS)

    def close_all(self, now_ms: int) -> list[MinuteBar]:
        """Everything not given out, the bar in the making included: the stream has ended."""
        return self._give_out(now_ms, None)

    def _give_out(self, now_ms: int, end_before_ms: int | None) -> list[MinuteBar]:
        given: list[MinuteBar] = []
        for minute in sorted(self._bars):
            bar = self._bars[minute]
            if end_before_ms is not None and bar.end_ms > end_before_ms:
                continue
            if bar.is_changed:
                bar.is_changed = False
                given.append(bar)
            if now_ms - bar.end_ms > AMEND_MS:
                del self._bars[minute]
        return given
