"""Candles to OHLCV answers: context of all series of a tier in one pass, returns and volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from apps.core.clock import iso_utc
from apps.markets.contracts import USD
from apps.markets.contracts_common import Meta
from apps.markets.contracts_ohlcv import (
    CURRENT_INTERVALS,
    OHLCV_METRIC,
    PERCENT,
    Bars,
    CandlePair,
    CurrentCandle,
    OhlcvAggregate,
    OhlcvMarket,
    OhlcvPayload,
    OhlcvVenue,
    VolumeContext,
)
from apps.markets.engines.context import ContextRow, Prepared, prepare, rank
from apps.markets.engines.ohlcv import (
    Candles,
    joined,
    no_candles,
    over_venues,
    return_pct,
    slot_of,
    state_of,
)
from apps.markets.engines.quality import PARTIAL, WITHHELD, confidence_word
from apps.markets.history_ohlcv import numbers_of
from apps.markets.past import Block, Rows, prepared
from apps.markets.refresh_context import FLOW_GRIDS, context_fields
from apps.markets.refresh_ohlcv import HEADLINE, AssetCandles, MarketCandles, VenueCandles
from apps.markets.refresh_sources import (
    absence_reason,
    missing_venues,
    optional_iso,
    sources_block,
)

FloatArray = npt.NDArray[np.float64]

_AGGREGATE: Final = ""
_USD_UNIT: Final = 1.0
Key: TypeAlias = tuple[str, int, str]
"""Asset, market (0 perpetuals, 1 spot) and venue; no venue is the aggregate."""
Rolled: TypeAlias = Mapping[str, Candles]
"""Candles by name of their length."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Context of the hour's return and of its volume."""

    change: ContextRow
    volume: ContextRow


def ohlcv_context(batch: Sequence[AssetCandles]) -> dict[Key, Ranked]:
    """Contexts of one tier: every venue and aggregate of perpetuals and spot."""
    tier = batch[0].tier
    keys: list[Key] = []
    hours: list[tuple[float, float]] = []
    blocks: list[Block] = []
    allowed: list[bool] = []
    for one in batch:
        for number, market in enumerate(one.markets):
            for venue, candles in market.venues.items():
                keys.append((one.asset, number, venue))
                hours.append(_rankable([candles] if venue in market.used else []))
                allowed.append(True)
            keys.append((one.asset, number, _AGGREGATE))
            withheld = market.coverage < WITHHELD
            hours.append(
                _rankable([] if withheld else [market.venues[venue] for venue in market.ranked])
            )
            blocks += market.windows
            allowed.append(market.coverage >= PARTIAL)

    def make(rows: Rows) -> tuple[Prepared, Prepared]:
        open_, close, volume = np.moveaxis(rows[0], 1, 0)
        slot_s = FLOW_GRIDS[tier].slot_s
        with np.errstate(invalid="ignore"):
            returns = return_pct(open_, close)
        return prepare(returns, slot_s), prepare(volume, slot_s, log_unit=_USD_UNIT)

    of_change, of_volume = prepared((OHLCV_METRIC, tier), blocks, make)
    now, extremes = np.array(hours), np.array(allowed)
    change = rank(now[:, 0], of_change, allow_extreme=extremes)
    volume = rank(now[:, 1], of_volume, allow_extreme=extremes, log_unit=_USD_UNIT)
    return {key: Ranked(change.row(i), volume.row(i)) for i, key in enumerate(keys)}


def _rankable(venues: Sequence[VenueCandles]) -> tuple[float, float]:
    """Return and volume of the hour over these venues."""
    hour = _hour_over([one.hour for one in venues])
    if not hour.size:
        return float("nan"), float("nan")
    return float(return_pct(hour.open, hour.close)[0]), float(hour.volume_usd[0])


def _hour_over(hours: Sequence[Candles]) -> Candles:
    """The last hour over venues, which need not have begun with a trade in the same minute."""
    known = [one for one in hours if one.size]
    if len(known) < 2:
        return known[0] if known else no_candles()
    both = joined(known)
    same = np.zeros(both.size, np.int64)
    return over_venues(replace(both, open_ms=same))


def ohlcv_payload(one: AssetCandles, ranked: Mapping[Key, Ranked], meta: Meta) -> OhlcvPayload:
    """The answer of one asset."""
    perp, spot = (_Block(one, number, ranked) for number in (0, 1))
    return OhlcvPayload(
        asset=one.asset,
        kind="perp",
        aggregate=perp.aggregate(),
        venues=perp.values(),
        venues_detail=perp.venues,
        spot=OhlcvMarket(
            aggregate=spot.aggregate(),
            venues=spot.values(),
            venues_detail=spot.venues,
            sources=sources_block(one.spot.health),
        ),
        meta=meta,
    )


class _Block:
    """Aggregate and venues of one market of one asset."""

    def __init__(self, one: AssetCandles, number: int, ranked: Mapping[Key, Ranked]) -> None:
        self._market: MarketCandles = one.markets[number]
        self._now_ms = one.now_ms
        self._ranked = {
            venue: ranked[one.asset, number, venue] for venue in (*self._market.venues, _AGGREGATE)
        }
        self.venues = {venue: self._venue(venue) for venue in self._market.venues}

    def values(self) -> dict[str, float]:
        return {v: detail.value for v, detail in self.venues.items() if detail.value is not None}

    def _venue(self, venue: str) -> OhlcvVenue:
        one = self._market.venues[venue]
        hour = one.hour if venue in self._market.used else no_candles()
        bars = _bars([one.rolled], self._now_ms)
        reason = one.health.null_reason
        if reason == "no_data" and not one.is_hour_known:
            reason = "insufficient_history"
        return OhlcvVenue(
            **self._context(venue, hour, reason, _price_of(bars)),
            symbol=one.row.instrument.symbol,
            bars=bars,
            updated_at=optional_iso(one.trade_ts_ms),
            age_seconds=None if one.health.age_s is None else round(one.health.age_s, 3),
        )

    def aggregate(self) -> OhlcvAggregate:
        market = self._market
        used = [market.venues[venue] for venue in market.used]
        hour = no_candles() if market.coverage < WITHHELD else _hour_over([v.hour for v in used])
        inside = list(market.used) if hour.size else []
        withheld = bool(used) and not hour.size
        reason = "withheld" if withheld else absence_reason(market.health)
        bars = _bars([self._market.venues[venue].rolled for venue in inside], self._now_ms)
        weighting = None if not inside else "volume_usd" if len(inside) > 1 else "none"
        return OhlcvAggregate(
            **self._context(_AGGREGATE, hour, reason, _price_of(bars)),
            weighting=weighting,
            venues_ranked=list(market.ranked) if inside else [],
            bars=bars,
            venues_used=inside,
            venues_missing=missing_venues(market.health, inside),
            coverage=round(market.coverage, 6),
            confidence=confidence_word(market.coverage),
        )

    def _context(
        self, venue: str, hour: Candles, absent: str, newest: float | None
    ) -> dict[str, Any]:
        """The hour's return and volume, and how unusual they are."""
        row = self._ranked[venue]
        change = float(return_pct(hour.open, hour.close)[0]) if hour.size else None
        fields = _fields(row.change, PERCENT, change, absent)
        volume = float(np.round(hour.volume_usd[0], 6)) if hour.size else None
        return {
            **fields,
            "window_kind": "rolling_1h_return",
            "state": state_of(change),
            "window": HEADLINE,
            "price": newest,
            "volume": VolumeContext(
                **_fields(row.volume, USD, volume, absent), window_kind="rolling_1h_volume"
            ),
        }


def _fields(row: ContextRow, unit: str, value: float | None, absent: str) -> dict[str, Any]:
    fields = context_fields(row, unit, reason=absent)
    if value is None:
        return {**fields, "value": None, "null_reason": absent}
    if fields["value"] is None:
        fields["null_reason"] = "insufficient_history"
    return fields | {"value": value}


def _bars(venues: Sequence[Rolled], now_ms: int) -> Bars:
    """The last closed candle and the one in the making, of each length."""
    return {
        name: _pair([one[name] for one in venues], length_ms, now_ms)
        for name, length_ms in CURRENT_INTERVALS.items()
    }


def _price_of(bars: Bars) -> float | None:
    """The close of the newest candle; the longer ones reach further back."""
    for name in CURRENT_INTERVALS:
        newest = bars[name].open or bars[name].last
        if newest is not None:
            return newest.close
    return None


def _pair(venues: Sequence[Candles], length_ms: int, now_ms: int) -> CandlePair:
    making_ms = int(slot_of(np.array([now_ms]), length_ms)[0])
    found = venues[0] if len(venues) == 1 else over_venues(_newest(venues, making_ms))
    until = int(np.searchsorted(found.open_ms, making_ms))
    first, end = max(0, until - 1), int(np.searchsorted(found.open_ms, making_ms, side="right"))
    chosen = found.take(slice(first, end))
    candles = [
        CurrentCandle(ts=iso_utc(ts_ms), closed=ts_ms < making_ms, **numbers)
        for ts_ms, numbers in zip(chosen.open_ms.tolist(), numbers_of(chosen), strict=True)
    ]
    last = candles[0] if until else None
    open_ = candles[-1] if end > until else None
    reason: str | UnsetType = "no_data" if last is None or open_ is None else UNSET
    return CandlePair(last=last, open=open_, null_reason=reason)


def _newest(venues: Sequence[Candles], making_ms: int) -> Candles:
    """Of all venues what opened since the newest closed candle of any."""
    closed = [one.open_ms[: int(np.searchsorted(one.open_ms, making_ms))] for one in venues]
    since_ms = max((int(times[-1]) for times in closed if times.size), default=making_ms)
    return joined(
        [one.take(slice(int(np.searchsorted(one.open_ms, since_ms)), None)) for one in venues]
    )
