"""Liquidations to answers: context of all series of a tier in one pass, then one object per asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.core.clock import iso_utc
from apps.marketdata.events import PositionSide
from apps.markets.contracts import USD
from apps.markets.contracts_common import Meta
from apps.markets.contracts_liquidations import (
    HEADLINE_WINDOW,
    LIQUIDATION_WINDOWS,
    LIQUIDATIONS_METRIC,
    MAX_EVENTS,
    LiquidationEvent,
    LiquidationsAggregate,
    LiquidationsPayload,
    LiquidationsVenue,
    LiquidationWindow,
)
from apps.markets.engines import liquidations as engine
from apps.markets.engines.context import (
    INSUFFICIENT_HISTORY,
    ContextResult,
    Prepared,
    prepare,
)
from apps.markets.engines.quality import WITHHELD, confidence_word
from apps.markets.refresh_context import TIER_GRIDS, context_fields
from apps.markets.refresh_liquidations import AssetLiquidations, VenueLiquidations
from apps.markets.refresh_ranking import tier_contexts
from apps.markets.refresh_sources import absence_reason, missing_venues, optional_iso

FloatArray = npt.NDArray[np.float64]

WINDOW_KIND: Final = "rolling_1h_liquidations"


def liquidations_context(batch: Sequence[AssetLiquidations]) -> ContextResult:
    """Contexts of one tier, in USD: of each asset its venues, then its aggregate, asset after asset."""
    tier = batch[0].tier

    def values(one: AssetLiquidations) -> list[float]:
        known = {v: np.nan if x.value is None else x.value for v, x in one.venues.items()}
        return [*known.values(), _ranked_sum(one, known)]

    def make(window: FloatArray) -> Prepared:
        usd = window.round(engine.USD_DECIMALS)
        return prepare(usd, TIER_GRIDS[tier].slot_s, log_unit=engine.LOG_UNIT)

    return tier_contexts(LIQUIDATIONS_METRIC, tier, batch, values, make, log_unit=engine.LOG_UNIT)


def _ranked_sum(one: AssetLiquidations, values: Mapping[str, float]) -> float:
    """Of the ranked venues; nothing where too little of the market is inside."""
    if not one.ranked or one.coverage < WITHHELD:
        return float("nan")
    return round(sum(values[venue] for venue in one.ranked), engine.USD_DECIMALS)


def liquidations_payload(
    one: AssetLiquidations, context: ContextResult, offset: int, meta: Meta
) -> LiquidationsPayload:
    """The answer of one asset; its contexts start at ``offset``."""
    aggregate = _aggregate(one, context, offset + len(one.venues))
    details = {
        name: _venue(one, venue, context, offset + index, aggregate.value)
        for index, (name, venue) in enumerate(one.venues.items())
    }
    inside = {name: details[name].value for name in one.used}
    return LiquidationsPayload(
        asset=one.asset,
        aggregate=aggregate,
        venues={name: value for name, value in inside.items() if value is not None},
        venues_detail=details,
        events=_newest(one),
        meta=meta,
    )


# --- over the venues -----------------------------------------------------------------------------------


def _aggregate(one: AssetLiquidations, context: ContextResult, index: int) -> LiquidationsAggregate:
    windows = {name: _total(one, name) for name in LIQUIDATION_WINDOWS}
    headline = windows[HEADLINE_WINDOW]
    reason = "withheld" if one.used and one.coverage < WITHHELD else _absence(one)
    used = [] if headline.total_usd is None else list(one.used)
    return LiquidationsAggregate(
        **_context(context, index, headline, reason),
        window=HEADLINE_WINDOW,
        undercount=bool(one.venues) and not all(_is_whole(one, venue) for venue in one.weight),
        windows=windows,
        venues_ranked=list(one.ranked) if used else [],
        venues_used=used,
        venues_missing=missing_venues(one.health, [*used, *one.estimated]),
        coverage=round(one.coverage, 6),
        confidence=confidence_word(one.coverage),
    )


def _is_whole(one: AssetLiquidations, venue: str) -> bool:
    found = one.venues[venue]
    return venue in one.used and found.feed.is_whole and found.shares[HEADLINE_WINDOW] >= 1


def _absence(one: AssetLiquidations) -> str:
    """Why nothing can be said over the venues: nobody lists it, or nobody was listened to for long enough."""
    listening = [one.venues[v] for v in one.weight if one.health[v].status in ("ok", "degraded")]
    return INSUFFICIENT_HISTORY if listening else absence_reason(one.health)


def _total(one: AssetLiquidations, name: str) -> LiquidationWindow:
    """Sum of the venues whose window is stated; nothing where they are too little of the market."""
    published = [one.venues[venue] for venue in one.weight]
    stated = [venue for venue in published if venue.is_stated(name)]
    whole = sum(one.weight.values())
    held = sum(one.weight[venue.row.instrument.venue] for venue in stated)
    is_withheld = bool(stated) and held < WITHHELD * whole
    inside = [] if is_withheld else stated
    sums = [venue.sums[name] for venue in inside]
    watched = sum(one.weight[v.row.instrument.venue] * v.shares[name] for v in published)
    estimates = [
        venue.sums[name].total_usd
        for venue in one.venues.values()
        if not venue.feed.is_published and venue.is_stated(name)
    ]
    largest = [
        _event(venue, venue.sums[name].largest) for venue in inside if venue.sums[name].count
    ]
    return LiquidationWindow(
        **_sums(sums) if inside else _no_sums("withheld" if is_withheld else _absence(one)),
        observed_usd=_usd(sum(venue.sums[name].total_usd for venue in published)),
        coverage=round(watched / whole, 6) if whole > 0 else 0.0,
        largest=max(largest, key=lambda event: (event.amount_usd, event.ts), default=None),
        estimated_usd=_usd(sum(estimates)) if estimates else None,
        venues=[venue.row.instrument.venue for venue in inside],
    )


def _newest(one: AssetLiquidations) -> list[LiquidationEvent]:
    """Of all venues together; of equal times the later venue's and the later stored come first."""
    found = [
        (int(venue.events.ts_ms[row]), place, row, venue)
        for place, venue in enumerate(one.venues.values())
        for row in range(max(0, venue.events.ts_ms.size - MAX_EVENTS), venue.events.ts_ms.size)
    ]
    newest = sorted(found, key=lambda item: item[:3], reverse=True)[:MAX_EVENTS]
    return [_event(venue, row) for _, _, row, venue in newest]


# --- one venue -----------------------------------------------------------------------------------------


def _venue(
    one: AssetLiquidations,
    venue: VenueLiquidations,
    context: ContextResult,
    index: int,
    total: float | None,
) -> LiquidationsVenue:
    windows = {name: _own(venue, name) for name in LIQUIDATION_WINDOWS}
    headline = windows[HEADLINE_WINDOW]
    is_inside = venue.row.instrument.venue in one.used
    share = venue.value / total if is_inside and total and venue.value is not None else None
    ts_ms = venue.events.ts_ms
    return LiquidationsVenue(
        **_context(context, index, headline, _why(venue)),
        window=HEADLINE_WINDOW,
        completeness=venue.feed.quality.value if venue.feed.quality is not None else "none",
        undercount=venue.feed.is_published
        and not (venue.feed.is_whole and venue.shares[HEADLINE_WINDOW] >= 1),
        windows=windows,
        share=None if share is None else round(share, engine.SHARE_DECIMALS),
        symbol=venue.row.instrument.symbol,
        watched_since=optional_iso(venue.watched_since_ms),
        last_event_at=optional_iso(int(ts_ms[-1]) if ts_ms.size else None),
    )


def _why(venue: VenueLiquidations) -> str:
    """Why a sum of a venue is not stated."""
    is_heard = venue.health.status in ("ok", "degraded")
    return INSUFFICIENT_HISTORY if is_heard else venue.health.null_reason


def _own(venue: VenueLiquidations, name: str) -> LiquidationWindow:
    sums = venue.sums[name]
    is_stated = venue.is_stated(name)
    return LiquidationWindow(
        **_sums([sums]) if is_stated else _no_sums(_why(venue)),
        observed_usd=sums.total_usd,
        coverage=round(venue.shares[name], 6),
        largest=_event(venue, sums.largest) if is_stated and sums.count else None,
    )


def _event(venue: VenueLiquidations, row: int) -> LiquidationEvent:
    events, listed = venue.events, venue.row.instrument
    side = PositionSide.LONG if events.is_long[row] else PositionSide.SHORT
    return LiquidationEvent(
        ts=iso_utc(int(events.ts_ms[row])),
        venue=listed.venue,
        symbol=listed.symbol,
        side=side.value,
        price=float(events.price[row]),
        amount_usd=_usd(float(events.usd[row])),
        qty_base=float(events.qty_base[row]),
        quality=events.quality_of(row).value,
        id=events.id_of(row),
    )


# --- numbers -------------------------------------------------------------------------------------------


def _sums(parts: Sequence[engine.Sums]) -> dict[str, Any]:
    long_usd = _usd(sum(part.long_usd for part in parts))
    short_usd = _usd(sum(part.short_usd for part in parts))
    return {
        "total_usd": _usd(long_usd + short_usd),
        "long_usd": long_usd,
        "short_usd": short_usd,
        "count": sum(part.count for part in parts),
        "imbalance": engine.imbalance(long_usd, short_usd),
    }


def _no_sums(reason: str) -> dict[str, Any]:
    names = ("total_usd", "long_usd", "short_usd", "count", "imbalance")
    return {**dict.fromkeys(names), "null_reason": reason}


def _context(
    context: ContextResult, index: int, headline: LiquidationWindow, absence: str
) -> dict[str, Any]:
    """The context part. ``value`` holds all venues; percentile and z are of the ranked ones."""
    value = headline.total_usd
    fields = context_fields(context.row(index), USD, reason=absence if value is None else None)
    state = (
        engine.state_of(headline.long_usd, headline.short_usd)
        if headline.long_usd is not None and headline.short_usd is not None
        else None
    )
    return {**fields, "value": value, "window_kind": WINDOW_KIND, "state": state}


def _usd(value: float) -> float:
    return round(value, engine.USD_DECIMALS)
