"""A small market for the REST tests: two venues of BTC, one of ETH; history, live state, snapshots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from apps.core.clock import market_clock
from apps.core.redis import sync_redis
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.live import LiveState, SourceStatus, live_key, sources_key, write_live
from apps.marketdata.positioning import TAKER, published_series
from apps.marketdata.rows import (
    BarRow,
    FundingRow,
    LiquidationRow,
    OpenInterestRow,
    PositioningRow,
)
from apps.marketdata.services import instruments_sync
from apps.marketdata.watching import LIQUIDATIONS, Watched, watch_spans_extend
from apps.marketdata.writers import rows_write
from apps.markets.contracts import FLOW_METRIC, FUNDING_METRIC
from apps.markets.contracts_basis import BASIS_METRIC
from apps.markets.contracts_liquidations import LIQUIDATIONS_METRIC
from apps.markets.contracts_ohlcv import OHLCV_METRIC
from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC
from apps.markets.contracts_positioning import POSITIONING_METRIC
from apps.markets.snapshots import (
    refresh_basis,
    refresh_funding,
    refresh_liquidations,
    refresh_ohlcv,
    refresh_open_interest,
    refresh_positioning,
    refresh_volume_flow,
)
from apps.snapshots import store

HOUR = 3_600_000
DAY = 24 * HOUR
NOW_MS = 1_779_048_870_000
"""2026-05-17 20:14:30 UTC."""
LAST_SETTLEMENT = NOW_MS // (8 * HOUR) * 8 * HOUR


@dataclass(frozen=True)
class Market:
    """Row ids by instrument key."""

    ids: dict[str, int]

    def id(self, key: str) -> int:
        return self.ids[key]


def perp(venue: str, asset: str) -> Instrument:
    return Instrument(
        venue=venue,
        symbol=f"{asset}USDT",
        asset=asset,
        kind=InstrumentKind.PERP,
        quote="USDT",
        funding_interval_h=8.0,
    )


def spot(venue: str, asset: str) -> Instrument:
    return Instrument(
        venue=venue, symbol=f"{asset}USDT", asset=asset, kind=InstrumentKind.SPOT, quote="USDT"
    )


LISTED = (
    perp("binance", "BTC"),
    spot("binance", "BTC"),
    perp("binance", "ETH"),
    perp("bybit", "BTC"),
)


def rate_at(settlement: int) -> float:
    """The BTC rate of Binance at the n-th settlement before the last: 0.0001 and a ripple."""
    return round(0.0001 + 0.00003 * math.sin(settlement), 8)


def make_market(days: int = 30) -> Market:
    """Instruments and their history up to ``NOW_MS``; the market clock stands there."""
    market_clock.freeze(NOW_MS * 1_000_000)
    ids: dict[str, int] = {}
    for venue in ("binance", "bybit"):
        listed = [one for one in LISTED if one.venue == venue]
        now = datetime.fromtimestamp((NOW_MS - 40 * DAY) / 1000, tz=UTC)
        found = instruments_sync(venue=venue, listed=listed, assets={"BTC", "ETH"}, now=now).ids
        ids |= found or {}
    if not ids:
        ids = _stored_ids()
    market = Market(ids)
    rows_write(_funding(market, days))
    rows_write(_bars(market))
    rows_write(_open_interest(market))
    rows_write(_positioning(market))
    rows_write(_liquidations(market))
    return market


def _stored_ids() -> dict[str, int]:
    from apps.marketdata.selectors import instruments

    return {row.instrument.key: row.id for row in instruments()}


def funding_row(instrument_id: int, ts: int, rate: float) -> FundingRow:
    return FundingRow(instrument_id, "settled", ts, ts, ts, rate, f"{rate:.8f}", 8.0, "venue")


def _funding(market: Market, days: int) -> list[FundingRow]:
    rows = []
    for number in range(days * 3):
        ts = LAST_SETTLEMENT - number * 8 * HOUR
        rate = rate_at(number)
        rows.append(funding_row(market.id("binance:perp:BTCUSDT"), ts, rate))
        rows.append(funding_row(market.id("binance:perp:ETHUSDT"), ts, rate / 2))
        rows.append(funding_row(market.id("bybit:perp:BTCUSDT"), ts, rate + 0.00001))
    return rows


def bar(instrument_id: int, ts: int, interval_s: int, volume_usd: float, buy_usd: float) -> BarRow:
    return BarRow(
        instrument_id=instrument_id,
        interval_s=interval_s,
        ts=ts,
        known_at=ts + interval_s * 1000,
        open=100.0,
        high=101.0,
        low=99.0,
        close=100.0,
        volume_base=volume_usd / 100,
        volume_usd=volume_usd,
        buy_base=buy_usd / 100,
        buy_usd=buy_usd,
        trades=10,
        is_partial=False,
        origin="venue",
    )


def _bars(market: Market) -> list[BarRow]:
    """Two days of 5-minute bars, then minutes of the last 20: 1,000 USD a minute, 60 % bought."""
    rows = []
    minutes_from = NOW_MS // 300_000 * 300_000 - 900_000
    for key, scale in (
        ("binance:perp:BTCUSDT", 1.0),
        ("binance:spot:BTCUSDT", 0.5),
        ("bybit:perp:BTCUSDT", 0.25),
    ):
        instrument_id = market.id(key)
        rows += [
            bar(instrument_id, ts, 300, 5000 * scale, 3000 * scale)
            for ts in range(minutes_from - 2 * DAY, minutes_from, 300_000)
        ]
        rows += [
            bar(instrument_id, ts, 60, 1000 * scale, 600 * scale)
            for ts in range(minutes_from, NOW_MS // 60_000 * 60_000, 60_000)
        ]
    return rows


def _open_interest(market: Market) -> list[OpenInterestRow]:
    rows = []
    for ts in range(NOW_MS - 3 * DAY, NOW_MS, HOUR):
        for key, oi_usd in (("binance:perp:BTCUSDT", 3e9), ("bybit:perp:BTCUSDT", 1e9)):
            rows.append(
                OpenInterestRow(market.id(key), ts, ts, oi_usd / 100, oi_usd / 100, oi_usd, "venue")
            )
    return rows


def _positioning(market: Market) -> list[PositioningRow]:
    """Three days by the half hour: 60 % long at Binance, 56 % at Bybit."""
    return [
        PositioningRow(
            market.id(f"{venue}:perp:BTCUSDT"),
            series, ts, ts, share, 1800 if series == TAKER else 0, "venue",
        )
        for venue, share in (("binance", 0.6), ("bybit", 0.56))
        for series in published_series(venue)
        for ts in range(NOW_MS // 1_800_000 * 1_800_000 - 3 * DAY, NOW_MS, 1_800_000)
    ]  # fmt: skip


def _liquidations(market: Market) -> list[LiquidationRow]:
    """BTC on two venues, listened to for two days: a long of 1,000 and a short of 500 USD each hour."""
    rows = []
    for venue, quality in (("binance", "sampled"), ("bybit", "full")):
        row_id = market.id(f"{venue}:perp:BTCUSDT")
        spans = [Watched(row_id, NOW_MS - 2 * DAY, NOW_MS - 1000)]
        watch_spans_extend(series=LIQUIDATIONS, spans=spans)
        rows += [
            LiquidationRow(
                row_id, ts, f"{ts}:{side}", ts + 100, side, 100.0, usd / 100, usd, quality, "stream"
            )
            for ts in range(NOW_MS - 2 * DAY + 5, NOW_MS, HOUR)
            for side, usd in (("long", 1000.0), ("short", 500.0))
        ]
    return rows


def _live(instrument: Instrument, rate: float | None) -> LiveState:
    state = LiveState.of(instrument)
    state.ts_event_ms = state.ts_recv_ms = state.mark_ts_ms = NOW_MS - 1000
    state.index_ts_ms = NOW_MS - 1000
    state.last_price = state.mark_price = state.index_price = 100.0
    state.funding_rate = rate
    state.funding_rate_raw = None if rate is None else f"{rate:.8f}"
    state.next_funding_ms = LAST_SETTLEMENT + 8 * HOUR
    state.funding_ts_ms = state.oi_ts_ms = state.trade_ts_ms = NOW_MS - 1000
    state.oi_usd, state.oi_base, state.oi_contracts = 3e9, 3e7, 3e7
    state.book_state, state.stream_status = "live", "live"
    state.liquidations_since_ms = NOW_MS - 2 * DAY
    return state


def publish() -> None:
    """Live state, and the snapshots of BTC and ETH from it."""
    states = [_live(one, 0.000123 if one.kind is InstrumentKind.PERP else None) for one in LISTED]
    sources = [
        SourceStatus(venue=venue, status="ok", last_ok_ms=NOW_MS - 500)
        for venue in ("binance", "bybit")
    ]
    write_live(sync_redis(), states, sources)
    documents = refresh_funding(["BTC", "ETH"], NOW_MS) + refresh_volume_flow(
        ["BTC", "ETH"], NOW_MS
    )
    documents += refresh_open_interest(["BTC", "ETH"], NOW_MS)
    documents += refresh_positioning(["BTC", "ETH"], NOW_MS)
    documents += refresh_liquidations(["BTC", "ETH"], NOW_MS)
    documents += refresh_ohlcv(["BTC", "ETH"], NOW_MS)
    documents += refresh_basis(["BTC", "ETH"], NOW_MS)
    store.publish_many(documents)


def forget() -> None:
    """Remove what ``publish`` left in Redis."""
    client = sync_redis()
    names = [live_key(), sources_key()]
    for metric in (
        FUNDING_METRIC,
        FLOW_METRIC,
        OPEN_INTEREST_METRIC,
        POSITIONING_METRIC,
        LIQUIDATIONS_METRIC,
        OHLCV_METRIC,
        BASIS_METRIC,
    ):
        names += [
            key.decode() for key in client.scan_iter(store.snapshot_key(metric, "*"), count=1000)
        ]
    client.delete(*names)
