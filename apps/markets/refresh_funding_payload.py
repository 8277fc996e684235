"""Funding inputs to funding answers: context of all series in one pass, then one object per asset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.markets.contracts import (
    FUNDING_METRIC,
    FUNDING_UNIT,
    FundingAggregate,
    FundingPayload,
    FundingSettledAggregate,
    FundingSettledVenue,
    FundingVenue,
)
from apps.markets.contracts_common import Meta
from apps.markets.engines import funding as engine
from apps.markets.engines.context import ContextResult, prepare
from apps.markets.engines.quality import WITHHELD, confidence_word
from apps.markets.refresh_context import FUNDING_GRID, context_fields
from apps.markets.refresh_funding import AssetFunding
from apps.markets.refresh_ranking import tier_contexts
from apps.markets.refresh_sources import absence_reason, missing_venues, optional_iso

FloatArray = npt.NDArray[np.float64]

_PERCENT: Final = 100.0
_WINDOW_KIND: Final = "settled_rate"
_DIGITS: Final = 14


def funding_context(batch: Sequence[AssetFunding]) -> ContextResult:
    """Contexts of one tier, in percent per 8 h: of each asset its venues, then its aggregate."""
    return tier_contexts(
        FUNDING_METRIC,
        batch[0].tier,
        batch,
        lambda one: [*one.rate_8h.tolist(), _aggregate_value(one)],
        lambda window: prepare(_in_percent(window), FUNDING_GRID.slot_s),
        in_unit=_in_percent,
    )


def _in_percent(rates: FloatArray) -> FloatArray:
    return np.round(rates * _PERCENT, 10)


def _aggregate_value(one: AssetFunding) -> float:
    """The aggregate, unless too little of the market is inside."""
    rate_8h = one.aggregate.rate_8h
    return float("nan") if rate_8h is None or one.coverage < WITHHELD else rate_8h


def funding_payload(
    one: AssetFunding, context: ContextResult, offset: int, meta: Meta
) -> FundingPayload:
    """The answer of one asset; its contexts start at ``offset``."""
    venues = {
        venue: _venue(one, index, context, offset + index) for index, venue in enumerate(one.venues)
    }
    numbers = {venue: detail.value for venue, detail in venues.items() if detail.value is not None}
    return FundingPayload(
        asset=one.asset,
        aggregate=_aggregate(one, context, offset + len(one.venues)),
        venues=numbers,
        venues_detail=venues,
        settled=_settled(one),
        meta=meta,
    )


def _aggregate(one: AssetFunding, context: ContextResult, index: int) -> FundingAggregate:
    result, used = one.aggregate, one.used_venues
    is_withheld = result.rate_8h is not None and one.coverage < WITHHELD
    rate_8h = None if is_withheld else result.rate_8h
    reason = "withheld" if is_withheld else result.reason
    if reason == "no_data":
        reason = absence_reason(one.health)
    return FundingAggregate(
        **context_fields(context.row(index), FUNDING_UNIT, reason=reason),
        window_kind=_WINDOW_KIND,
        state=engine.state_of(rate_8h),
        rate_8h=rate_8h,
        rate_1h=_rate_1h(rate_8h),
        apr=_apr(rate_8h),
        kind="predicted",
        weighting=result.weighting,
        oi_usd=result.oi_usd,
        venues_used=[] if rate_8h is None else used,
        venues_missing=missing_venues(one.health, [] if rate_8h is None else used),
        coverage=round(one.coverage, 6),
        confidence=confidence_word(one.coverage),
    )


def _venue(one: AssetFunding, index: int, context: ContextResult, row: int) -> FundingVenue:
    rate, health = one.rates[index], one.health[one.venues[index]]
    rate_8h = _number(one.rate_8h[index])
    return FundingVenue(
        **context_fields(context.row(row), FUNDING_UNIT, reason=health.null_reason),
        window_kind=_WINDOW_KIND,
        state=engine.state_of(rate_8h),
        rate_8h=rate_8h,
        rate_1h=_rate_1h(rate_8h),
        apr=_apr(rate_8h),
        kind="predicted",
        symbol=rate.row.instrument.symbol,
        rate=None if rate_8h is None else rate.rate,
        rate_raw=None if rate_8h is None else rate.rate_raw,
        interval_h=rate.interval_h,
        next_funding_at=optional_iso(rate.next_funding_ms),
        mark_price=rate.mark_price,
        index_price=rate.index_price,
        oi_usd=rate.oi_usd,
        weight=_weight(one, index),
        updated_at=optional_iso(rate.ts_ms),
        age_seconds=None if health.age_s is None else round(health.age_s, 3),
        settled=_settled_venue(one, index),
    )


def _settled_venue(one: AssetFunding, index: int) -> FundingSettledVenue:
    last = one.settled[index]
    rate_8h = None if last is None else last.rate_8h
    return FundingSettledVenue(
        value=_percent(rate_8h),
        unit=FUNDING_UNIT,
        rate_8h=rate_8h,
        rate_1h=_rate_1h(rate_8h),
        apr=_apr(rate_8h),
        settled_at=None if last is None else optional_iso(last.ts_ms),
        predicted_minus_settled=_difference(_number(one.rate_8h[index]), rate_8h),
        settlements_30d=one.settlements[index],
        rate_raw=None if last is None else last.rate_raw,
        interval_h=None if last is None else last.interval_h,
    )


def _settled(one: AssetFunding) -> FundingSettledAggregate:
    """Last settlements of all venues, weighted like the predictions but never mixed with them."""
    rates = np.array(
        [np.nan if last is None else last.rate_8h for last in one.settled], dtype=float
    )
    result = engine.aggregate(rates, one.oi_usd)
    predicted = None if one.coverage < WITHHELD else one.aggregate.rate_8h
    times = [last.ts_ms for last in one.settled if last is not None]
    return FundingSettledAggregate(
        value=_percent(result.rate_8h),
        unit=FUNDING_UNIT,
        rate_8h=result.rate_8h,
        rate_1h=_rate_1h(result.rate_8h),
        apr=_apr(result.rate_8h),
        settled_at=optional_iso(max(times, default=None)),
        predicted_minus_settled=_difference(predicted, result.rate_8h),
        settlements_30d=sum(one.settlements),
        weighting=result.weighting,
        venues={
            venue: engine.percent_per_8h(last.rate_8h)
            for venue, last in zip(one.venues, one.settled, strict=True)
            if last is not None
        },
        **({} if result.reason is None else {"null_reason": result.reason}),
    )


def _percent(rate_8h: float | None) -> float | None:
    return None if rate_8h is None else engine.percent_per_8h(rate_8h)


def _rate_1h(rate_8h: float | None) -> float | None:
    return None if rate_8h is None else round(rate_8h / 8.0, _DIGITS)


def _apr(rate_8h: float | None) -> float | None:
    return None if rate_8h is None else round(engine.annual_rate(rate_8h), _DIGITS - 4)


def _difference(predicted: float | None, settled: float | None) -> float | None:
    if predicted is None or settled is None:
        return None
    return engine.percent_per_8h(predicted - settled)


def _weight(one: AssetFunding, index: int) -> float | None:
    """Share in the aggregate: 1 for a venue alone, 0 for one that is left out."""
    if not one.used.any():
        return None
    if one.used.sum() == 1:
        return float(one.used[index])
    total = float(one.oi_usd[one.used].sum())
    return round(float(one.oi_usd[index]) / total, 6) if one.used[index] else 0.0


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
