"""Positioning inputs to answers: context of all series of a tier in one pass, one object per asset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.marketdata.positioning import ACCOUNTS, SERIES, TAKER, TAKER_S
from apps.markets.contracts_common import Meta
from apps.markets.contracts_positioning import (
    FURTHER_SERIES,
    POSITIONING_METRIC,
    SHARE,
    PositioningAggregate,
    PositioningPayload,
    PositioningSeriesAggregate,
    PositioningVenue,
    PositioningVenueSeries,
)
from apps.markets.engines import positioning as engine
from apps.markets.engines.context import (
    DEGENERATE,
    INSUFFICIENT_HISTORY,
    NO_DATA,
    ContextResult,
    ContextRow,
    prepare,
)
from apps.markets.engines.quality import confidence_word
from apps.markets.refresh_context import TIER_GRIDS, context_fields
from apps.markets.refresh_positioning import AssetPositioning, SeriesShares
from apps.markets.refresh_ranking import tier_contexts
from apps.markets.refresh_sources import absence_reason, missing_venues, optional_iso

FloatArray = npt.NDArray[np.float64]

_TOTAL: Final = ""
"""Stands for the aggregate where venues are named."""
_WINDOW_KINDS: Final = {
    name: "taker_buy_share" if name == TAKER else "long_share" for name in SERIES
}
_NOTHING: Final = ContextRow(
    None, None, None, INSUFFICIENT_HISTORY, None, None, None, None, None, 0, NO_DATA
)
"""Of a venue that publishes no such series."""


def _rows(one: AssetPositioning) -> Iterator[tuple[str, str]]:
    """(series, venue) of each context of an asset, in the order of their rows."""
    for name, shares in one.series.items():
        for venue in (*shares.venues, _TOTAL):
            yield name, venue


def context_rows(one: AssetPositioning) -> int:
    """How many contexts an asset has."""
    return sum(1 for _ in _rows(one))


def positioning_context(batch: Sequence[AssetPositioning]) -> ContextResult:
    """Contexts of one tier: of each asset and series its venues, then its aggregate."""
    tier = batch[0].tier

    def rounded(share: FloatArray) -> FloatArray:
        return share.round(engine.SHARE_DECIMALS)

    return tier_contexts(
        POSITIONING_METRIC,
        tier,
        [shares for one in batch for shares in one.series.values()],
        lambda shares: [*shares.share.tolist(), shares.ranked_share],
        lambda window: prepare(rounded(window), TIER_GRIDS[tier].slot_s),
        in_unit=rounded,
    )


def positioning_payload(
    one: AssetPositioning, context: ContextResult, offset: int, meta: Meta
) -> PositioningPayload:
    """The answer of one asset; its contexts start at ``offset``."""
    contexts = {key: context.row(offset + at) for at, key in enumerate(_rows(one))}
    totals = {name: _total(one, name, contexts[name, _TOTAL]) for name in SERIES}
    venues = {
        venue: PositioningVenue(
            **_venue(one, ACCOUNTS, venue, contexts),
            symbol=row.instrument.symbol,
            series={
                name: PositioningVenueSeries(**_venue(one, name, venue, contexts))
                for name in FURTHER_SERIES
            },
        )
        for venue, row in one.rows.items()
    }
    return PositioningPayload(
        asset=one.asset,
        aggregate=PositioningAggregate(
            **totals[ACCOUNTS],
            series={name: PositioningSeriesAggregate(**totals[name]) for name in FURTHER_SERIES},
        ),
        venues={v: detail.value for v, detail in venues.items() if detail.value is not None},
        venues_detail=venues,
        meta=meta,
    )


def _total(one: AssetPositioning, name: str, row: ContextRow) -> dict[str, Any]:
    shares, total = one.series[name], one.series[name].total
    value = None if shares.is_withheld else total.share
    reason = "withheld" if shares.is_withheld else total.reason
    if reason == NO_DATA:
        reason = _absence(one, name)
    used = [] if value is None else shares.names(shares.used)
    consensus = None if value is None else total.consensus
    return {
        **_context(name, row, value, reason, consensus),
        "ratio": engine.ratio_of_share(value),
        "ls_consensus": None if consensus is None else round(consensus, 6),
        "weighting": None if value is None else total.weighting,
        "oi_usd": None if value is None or total.oi_usd is None else round(total.oi_usd, 2),
        "period_seconds": _period_s(name),
        "venues_ranked": [] if value is None else shares.names(shares.ranked),
        "venues_used": used,
        "venues_missing": [
            venue for venue in missing_venues(one.health, used) if venue in shares.venues
        ],
        "coverage": round(shares.coverage, 6),
        "confidence": confidence_word(shares.coverage),
    }


def _absence(one: AssetPositioning, name: str) -> str:
    """Why a series has no venue at all."""
    mine = one.series[name].venues
    expected = {venue: health for venue, health in one.health.items() if venue in mine}
    return absence_reason(expected if expected else one.health)


def _context(
    name: str, row: ContextRow, value: float | None, reason: str | None, consensus: float | None
) -> dict[str, Any]:
    """The context part. ``value`` holds all venues; percentile and z are of the ranked ones."""
    fields = context_fields(row, SHARE, reason=reason if value is None else None)
    if consensus is None and value is not None:
        fields.setdefault("null_reason", DEGENERATE)
    return {
        **fields,
        "value": value,
        "window_kind": _WINDOW_KINDS[name],
        "state": _state(name, value),
    }


def _venue(
    one: AssetPositioning, name: str, venue: str, contexts: dict[tuple[str, str], ContextRow]
) -> dict[str, Any]:
    shares, health = one.series[name], one.health[venue]
    place = shares.venues.index(venue) if venue in shares.venues else None
    said = None if place is None else shares.said[place]
    value = None if place is None else _number(shares.share[place])
    reason = NO_DATA if said is None else "stale"
    if health.status == "down" and place is not None:
        reason = health.null_reason
    row = contexts.get((name, venue), _NOTHING)
    return {
        **context_fields(row, SHARE, reason=reason),
        "window_kind": _WINDOW_KINDS[name],
        "state": _state(name, value),
        "value": None if value is None else round(value, engine.SHARE_DECIMALS),
        "ratio": engine.ratio_of_share(value),
        "weight": None if place is None else _weight(shares, place),
        "oi_usd": None if venue not in one.oi_usd else round(one.oi_usd[venue], 2),
        "period_seconds": _period_s(name),
        "updated_at": None if said is None else optional_iso(said.ts_ms),
        "age_seconds": None
        if said is None
        else round(max(0.0, (one.now_ms - said.ts_ms) / 1000), 3),
    }


def _weight(shares: SeriesShares, place: int) -> float | None:
    """Part in the aggregate: 1 for a venue alone, 0 for one that is left out."""
    if not shares.used.any() or shares.is_withheld:
        return None
    if not shares.used[place]:
        return 0.0
    if shares.used.sum() == 1:
        return 1.0
    return round(float(shares.oi_usd[place] / shares.oi_usd[shares.used].sum()), 6)


def _state(name: str, share: float | None) -> str | None:
    return engine.taker_state(share) if name == TAKER else engine.crowd_state(share)


def _period_s(name: str) -> int:
    return TAKER_S if name == TAKER else 0


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
