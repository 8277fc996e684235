"""Taker-flow inputs to volume-flow answers: context of all series of a tier in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from apps.core.clock import iso_utc
from apps.markets.contracts import (
    FLOW_METRIC,
    USD,
    WINDOWS,
    Cvd,
    FlowAggregate,
    FlowMarket,
    FlowPayload,
    FlowVenue,
    FlowVenueSpot,
    FlowWindow,
)
from apps.markets.contracts_common import Meta
from apps.markets.engines.context import (
    INSUFFICIENT_HISTORY,
    ContextResult,
    prepare,
)
from apps.markets.engines.quality import FULL, WITHHELD, confidence_word
from apps.markets.engines.volume_flow import NO_FLOW, FlowSum, session_start_ms, state_of
from apps.markets.refresh_context import FLOW_GRIDS, context_fields
from apps.markets.refresh_flow import HEADLINE, SESSION, AssetFlow, MarketFlow
from apps.markets.refresh_ranking import tier_contexts
from apps.markets.refresh_sources import absence_reason, missing_venues, optional_iso

FloatArray = npt.NDArray[np.float64]

_WINDOW_KIND: Final = "rolling_1h_delta"


def flow_context(batch: Sequence[AssetFlow]) -> ContextResult:
    """Contexts of one tier, in USD: of each asset its venues, then its aggregate, asset after asset."""
    tier = batch[0].tier

    def values(one: AssetFlow) -> list[float]:
        venues = [_rankable(_headline_of(one, venue)) for venue in one.futures]
        return [*venues, _rankable(_ranked(one))]

    return tier_contexts(
        FLOW_METRIC,
        tier,
        batch,
        values,
        lambda window: prepare(window, FLOW_GRIDS[tier].slot_s),
    )


def _headline(one: AssetFlow) -> FlowSum:
    """The aggregate's hour, unless too little of the market is inside."""
    if one.coverage < WITHHELD:
        return FlowSum(None, None, None, None, None, 0.0, "withheld")
    return one.total[HEADLINE]


def _ranked(one: AssetFlow) -> FlowSum:
    """The part of the aggregate's hour that has a history to be ranked in."""
    return _headline(one) if one.coverage < WITHHELD else one.ranked_total


def _headline_of(one: AssetFlow, venue: str) -> FlowSum:
    """A venue's hour, unless the venue is silent: its last hour is then another one."""
    return one.futures[venue].sums[HEADLINE] if venue in one.used else NO_FLOW


def _rankable(total: FlowSum) -> float:
    """A part of an hour is no sample of the rolling hour."""
    if total.delta_usd is None or total.coverage < FULL:
        return float("nan")
    return total.delta_usd


def flow_payload(one: AssetFlow, context: ContextResult, offset: int, meta: Meta) -> FlowPayload:
    """The answer of one asset; its contexts start at ``offset``."""
    venues = {
        venue: _venue(one, venue, context, offset + index)
        for index, venue in enumerate(one.futures)
    }
    return FlowPayload(
        asset=one.asset,
        aggregate=_aggregate(one, context, offset + len(one.futures)),
        venues={v: detail.value for v, detail in venues.items() if detail.value is not None},
        venues_detail=venues,
        windows=_windows(one.total, one.told),
        cvd=_cvd(one.total, one.now_ms),
        spot=FlowMarket(
            windows=_windows(one.spot_total),
            cvd=_cvd(one.spot_total, one.now_ms),
            venues=_deltas(one.spot),
        ),
        meta=meta,
    )


def _aggregate(one: AssetFlow, context: ContextResult, index: int) -> FlowAggregate:
    total = _headline(one)
    reason = total.reason if one.used else absence_reason(one.health)
    used = [] if total.delta_usd is None else list(one.used)
    ranked = [] if total.delta_usd is None else list(one.ranked)
    return FlowAggregate(
        **_context(context, index, total, reason or "no_data"),
        window_kind=_WINDOW_KIND,
        state=state_of(total.delta_ratio),
        window=HEADLINE,
        venues_ranked=ranked,
        venues_used=used,
        venues_missing=missing_venues(one.health, used),
        coverage=round(one.coverage, 6),
        confidence=confidence_word(one.coverage),
    )


def _venue(one: AssetFlow, venue: str, context: ContextResult, index: int) -> FlowVenue:
    flow, health = one.futures[venue], one.health[venue]
    total = _headline_of(one, venue)
    spot = one.spot.get(venue)
    extra: dict[str, Any] = {} if spot is None else {"spot": _venue_spot(spot, one.now_ms)}
    return FlowVenue(
        **_context(context, index, total, health.null_reason),
        window_kind=_WINDOW_KIND,
        state=state_of(total.delta_ratio),
        window=HEADLINE,
        symbol=flow.row.instrument.symbol,
        windows=_windows(flow.sums),
        cvd=_cvd(flow.sums, one.now_ms),
        updated_at=optional_iso(flow.trade_ts_ms),
        age_seconds=None if health.age_s is None else round(health.age_s, 3),
        **extra,
    )


def _context(context: ContextResult, index: int, total: FlowSum, absent: str) -> dict[str, Any]:
    """Context fields with the true value: one that covers less than its hour is shown but not ranked."""
    # Where only the taker side is missing, the venue itself is well.
    why = absent if total.reason is not None else _why(total).get("null_reason", absent)
    fields = context_fields(context.row(index), USD, reason=why)
    if total.delta_usd is None:
        return fields
    if fields["value"] is None:
        fields["null_reason"] = INSUFFICIENT_HISTORY
    return fields | {"value": total.delta_usd}


def _venue_spot(flow: MarketFlow, now_ms: int) -> FlowVenueSpot:
    return FlowVenueSpot(
        symbol=flow.row.instrument.symbol,
        windows=_windows(flow.sums),
        cvd=_cvd(flow.sums, now_ms),
    )


def _deltas(flows: Mapping[str, MarketFlow]) -> dict[str, float]:
    deltas = {venue: flow.sums[HEADLINE].delta_usd for venue, flow in flows.items()}
    return {venue: delta for venue, delta in deltas.items() if delta is not None}


def _windows(
    sums: Mapping[str, FlowSum], venues: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, FlowWindow]:
    return {
        name: _window(sums[name], UNSET if venues is None else list(venues[name]))
        for name in WINDOWS
    }


def _window(total: FlowSum, venues: list[str] | UnsetType) -> FlowWindow:
    ratio = total.taker_buy_ratio
    return FlowWindow(
        buy_usd=total.buy_usd,
        sell_usd=total.sell_usd,
        delta_usd=total.delta_usd,
        volume_usd=total.volume_usd,
        buy_base=total.buy_base,
        sell_base=total.sell_base,
        delta_base=total.delta_base,
        volume_base=total.volume_base,
        taker_buy_ratio=None if ratio is None else round(ratio, 6),
        trades=total.trades,
        coverage=round(total.coverage, 6),
        venues=venues,
        **_why(total),
    )


def _cvd(sums: Mapping[str, FlowSum], now_ms: int) -> Cvd:
    total = sums[SESSION]
    ratio = total.delta_ratio
    return Cvd(
        anchor="utc_session",
        session_start=iso_utc(session_start_ms(now_ms)),
        value_usd=total.delta_usd,
        value_base=total.delta_base,
        volume_usd=total.volume_usd,
        ratio=None if ratio is None else round(ratio, 6),
        coverage=round(total.coverage, 6),
        **_why(total),
    )


def _why(total: FlowSum) -> dict[str, str]:
    if total.reason is not None:
        return {"null_reason": total.reason}
    # Its volume is known from the venue's candles, which do not say what takers bought.
    return {"null_reason": INSUFFICIENT_HISTORY} if total.delta_usd is None else {}
