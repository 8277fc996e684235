"""Basis inputs to answers: context of all series of a tier in one pass, then one object per asset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from apps.core.clock import iso_utc
from apps.marketdata.venues import all_venues
from apps.markets.contracts_basis import (
    BASIS_METRIC,
    PERCENT,
    BasisAggregate,
    BasisFuture,
    BasisPayload,
    BasisPoint,
    BasisVenue,
)
from apps.markets.contracts_common import Meta
from apps.markets.engines import basis as engine
from apps.markets.engines.context import ContextResult, prepare
from apps.markets.engines.history import weighted_rate
from apps.markets.engines.quality import WITHHELD, confidence_word
from apps.markets.refresh_basis import AssetBasis, Quoted
from apps.markets.refresh_context import TIER_GRIDS, context_fields
from apps.markets.refresh_ranking import tier_contexts
from apps.markets.refresh_sources import absence_reason, missing_venues, optional_iso, or_none

FloatArray = npt.NDArray[np.float64]

WINDOW_KIND: Final = "mark_over_index"
_PERCENT: Final = 100.0
_PERCENT_DECIMALS: Final = 10
_DECIMALS: Final = 12
_APR_DECIMALS: Final = 10
_WEIGHT_DECIMALS: Final = 6
_NO_WEIGHTS: Final = "no_weights"


def basis_context(batch: Sequence[AssetBasis]) -> ContextResult:
    """Contexts of one tier, in percent: of each asset its venues, then its aggregate, asset after asset."""
    tier = batch[0].tier
    return tier_contexts(
        BASIS_METRIC,
        tier,
        batch,
        lambda one: [*one.basis.tolist(), _ranked_mean(one)],
        lambda window: prepare(_in_percent(window), TIER_GRIDS[tier].slot_s),
        in_unit=_in_percent,
    )


def _in_percent(basis: FloatArray) -> FloatArray:
    return np.round(basis * _PERCENT, _PERCENT_DECIMALS)


def _ranked_mean(one: AssetBasis) -> float:
    """Over the ranked venues; nothing where too little of the market is inside."""
    if not one.ranked.any() or one.coverage < WITHHELD:
        return float("nan")
    mean = weighted_rate(one.basis[one.ranked], one.oi_usd[one.ranked]).value
    return float("nan") if mean is None else round(mean, _DECIMALS)


def basis_payload(one: AssetBasis, context: ContextResult, offset: int, meta: Meta) -> BasisPayload:
    """The answer of one asset; its contexts start at ``offset``."""
    venues = {
        venue: _venue(one, index, context, offset + index) for index, venue in enumerate(one.venues)
    }
    return BasisPayload(
        asset=one.asset,
        aggregate=_aggregate(one, context, offset + len(one.venues)),
        venues={v: detail.value for v, detail in venues.items() if detail.value is not None},
        venues_detail=venues,
        curve=_curve(one),
        meta=meta,
    )


# ---------------------------------------------------------------- perpetuals


def _aggregate(one: AssetBasis, context: ContextResult, index: int) -> BasisAggregate:
    present = np.isfinite(one.basis)
    found = weighted_rate(one.basis, one.oi_usd)
    is_withheld = found.value is not None and one.coverage < WITHHELD
    value = None if is_withheld or found.value is None else round(found.value, _DECIMALS)
    used = [] if value is None else one.used_venues
    absence = _NO_WEIGHTS if present.any() else absence_reason(one.health)
    reason = "withheld" if is_withheld else absence
    apr = np.where(one.used, one.apr, np.nan)
    annual = None if value is None else weighted_rate(apr, one.oi_usd).value
    return BasisAggregate(
        **_context(context, index, value, annual, reason),
        weighting=None if value is None else found.weighting,
        oi_usd=None if value is None else found.oi_usd,
        venues_ranked=[] if value is None else _names(one, one.ranked),
        venues_used=used,
        venues_missing=missing_venues(one.health, used),
        coverage=round(one.coverage, 6),
        confidence=confidence_word(one.coverage),
    )


def _venue(one: AssetBasis, index: int, context: ContextResult, row: int) -> BasisVenue:
    venue, quoted = one.venues[index], one.perps[index]
    instrument = quoted.marked.row.instrument
    value = or_none(quoted.basis)
    reason = quoted.reason or one.health[venue].null_reason
    return BasisVenue(
        **_context(context, row, value, or_none(quoted.apr), reason),
        symbol=instrument.symbol,
        quote=instrument.quote,
        mark_price=quoted.marked.mark_price,
        index_price=quoted.marked.index_price,
        oi_usd=or_none(quoted.oi_usd),
        weight=_weight(one, index),
        updated_at=optional_iso(quoted.marked.ts_ms),
        age_seconds=None if quoted.age_s is None else round(quoted.age_s, 3),
        futures=[
            _future(future, one.now_ms)
            for future in one.futures
            if future.marked.row.instrument.venue == venue
        ],
    )


def _context(
    context: ContextResult, index: int, value: float | None, annual: float | None, reason: str
) -> dict[str, Any]:
    """The context part with the basis itself. ``value`` holds all venues; percentile and z the ranked."""
    fields = context_fields(context.row(index), PERCENT, reason=reason if value is None else None)
    return {
        **fields,
        "value": _percent(value),
        "basis": value,
        "annualised": _rounded_annual(annual),
        "state": engine.state_of(annual),
        "window_kind": WINDOW_KIND,
    }


def _weight(one: AssetBasis, index: int) -> float | None:
    """Share in the aggregate: 1 for a venue alone, 0 for one that is left out."""
    if not one.used.any():
        return None
    if one.used.sum() == 1:
        return float(one.used[index])
    total = float(one.oi_usd[one.used].sum())
    share = float(one.oi_usd[index]) / total if one.used[index] else 0.0
    return round(share, _WEIGHT_DECIMALS)


def _names(one: AssetBasis, inside: npt.NDArray[np.bool_]) -> list[str]:
    return [venue for venue, is_in in zip(one.venues, inside, strict=True) if is_in]


# ---------------------------------------------------------------- dated futures


def _expiries(futures: Sequence[Quoted]) -> npt.NDArray[np.int64]:
    return np.array([one.marked.row.instrument.expiry_ms for one in futures], dtype=np.int64)


def _annual(futures: Sequence[Quoted], now_ms: int) -> FloatArray:
    values = np.array([one.basis for one in futures], dtype=float)
    return engine.annualised(values, engine.days_left(_expiries(futures), now_ms))


def _future(one: Quoted, now_ms: int) -> BasisFuture:
    instrument, value = one.marked.row.instrument, or_none(one.basis)
    (expiry_ms,) = _expiries([one]).tolist()
    annual = or_none(float(_annual([one], now_ms)[0]))
    # A value that cannot be scaled has less than a day left.
    reason = one.reason or (None if annual is not None else "degenerate")
    return BasisFuture(
        symbol=instrument.symbol,
        quote=instrument.quote,
        **_dated(expiry_ms, now_ms, value, annual),
        mark_price=one.marked.mark_price,
        index_price=one.marked.index_price,
        oi_usd=or_none(one.oi_usd),
        updated_at=optional_iso(one.marked.ts_ms),
        age_seconds=None if one.age_s is None else round(one.age_s, 3),
        null_reason=UNSET if reason is None else reason,
    )


def _dated(
    expiry_ms: int, now_ms: int, value: float | None, annual: float | None
) -> dict[str, Any]:
    return {
        "expiry": iso_utc(expiry_ms),
        "days_to_expiry": round((expiry_ms - now_ms) / engine.DAY_MS, 6),
        "value": _percent(value),
        "unit": PERCENT,
        "basis": value,
        "annualised": _rounded_annual(annual),
        "state": engine.state_of(annual),
    }


def _curve(one: AssetBasis) -> list[BasisPoint]:
    if not one.futures:
        return []
    return [
        _point(expiry_ms, [one.futures[at] for at in inside], one.now_ms)
        for expiry_ms, inside in engine.expiry_groups(_expiries(one.futures))
    ]


def _point(expiry_ms: int, futures: Sequence[Quoted], now_ms: int) -> BasisPoint:
    values = np.array([one.basis for one in futures], dtype=float)
    oi_usd = np.array([one.oi_usd for one in futures], dtype=float)
    found = weighted_rate(values, oi_usd)
    value = None if found.value is None else round(found.value, _DECIMALS)
    annual = weighted_rate(_annual(futures, now_ms), oi_usd).value if value is not None else None
    inside = [futures[at].marked.row.instrument for at in found.used]
    contracts = {
        venue: [one.symbol for one in inside if one.venue == venue]
        for venue in all_venues()
        if any(one.venue == venue for one in inside)
    }
    reason = None
    if value is None:
        reason = _NO_WEIGHTS if np.isfinite(values).any() else futures[0].reason
    elif annual is None:
        reason = "degenerate"
    return BasisPoint(
        **_dated(expiry_ms, now_ms, value, annual),
        weighting=found.weighting,
        oi_usd=found.oi_usd,
        contracts=contracts,
        null_reason=UNSET if reason is None else reason,
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else round(value * _PERCENT, _PERCENT_DECIMALS)


def _rounded_annual(annual: float | None) -> float | None:
    return None if annual is None else round(annual, _APR_DECIMALS)
