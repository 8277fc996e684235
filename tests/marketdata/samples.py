"""Small builders of rows and instruments for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.rows import BarRow, FundingRow, LiquidationRow, OpenInterestRow

T0 = 1_700_000_040_000
"""2023-11-14 22:14:00 UTC, the start of a minute, in ms."""
MINUTE = 60_000


def at(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)


def instrument(
    symbol: str = "BTCUSDT",
    asset: str = "BTC",
    kind: InstrumentKind = InstrumentKind.PERP,
    venue: str = "binance",
) -> Instrument:
    return Instrument(venue=venue, symbol=symbol, asset=asset, kind=kind, quote="USDT")


def bar_row(
    ts: int = T0,
    instrument_id: int = 1,
    close: float = 100.5,
    trades: int | None = 7,
    origin: str = "stream",
    interval_s: int = 60,
    buy_base: float | None = 1.25,
    is_partial: bool = False,
) -> BarRow:
    return BarRow(
        instrument_id=instrument_id,
        interval_s=interval_s,
        ts=ts,
        known_at=ts + interval_s * 1000,
        open=100.0,
        high=101.0,
        low=99.0,
        close=close,
        volume_base=3.5,
        volume_usd=350.25,
        buy_base=buy_base,
        buy_usd=125.5,
        trades=trades,
        is_partial=is_partial,
        origin=origin,
    )


def funding_row(
    ts: int = T0,
    instrument_id: int = 1,
    rate_raw: str = "0.00010000",
    kind: str = "settled",
    known_at: int | None = None,
    interval_h: float | None = 8.0,
    origin: str = "venue",
) -> FundingRow:
    return FundingRow(
        instrument_id=instrument_id,
        kind=kind,
        ts=ts,
        known_at=ts if known_at is None else known_at,
        funding_ts=ts,
        rate=float(rate_raw),
        rate_raw=rate_raw,
        interval_h=interval_h,
        origin=origin,
    )


def oi_row(
    ts: int = T0, instrument_id: int = 1, oi_usd: float | None = 5e6, origin: str = "stream"
) -> OpenInterestRow:
    return OpenInterestRow(
        instrument_id=instrument_id,
        ts=ts,
        known_at=ts,
        oi_contracts=50.0,
        oi_base=50.0,
        oi_usd=oi_usd,
        origin=origin,
    )


def liquidation_row(ts: int = T0, event_id: str = "e1", side: str = "long") -> LiquidationRow:
    return LiquidationRow(
        instrument_id=1,
        ts=ts,
        event_id=event_id,
        known_at=ts + 5,
        side=side,
        price=99.5,
        qty_base=2.0,
        notional_usd=199.0,
        quality="sampled",
        origin="stream",
    )
