"""Open interest to answers: context of all series of a tier in one pass, then one object per asset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.markets.contracts import USD
from apps.markets.contracts_common import Meta
from apps.markets.contracts_open_interest import (
    OPEN_INTEREST_METRIC,
    OpenInterestAggregate,
    OpenInterestChange,
    OpenInterestPayload,
    OpenInterestVenue,
)
from apps.markets.engines import open_interest as engine
from apps.markets.engines.context import (
    INSUFFICIENT_HISTORY,
    ContextResult,
    Prepared,
    prepare,
)
from apps.markets.engines.quality import WITHHELD, confidence_word
from apps.markets.refresh_context import DAY_MS, TIER_GRIDS, context_fields
from apps.markets.refresh_open_interest import AssetInterest
from apps.markets.refresh_ranking import tier_contexts
from apps.markets.refresh_sources import absence_reason, missing_venues, optional_iso

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

WINDOW_KIND: Final = "open_interest_level"
_HEADLINE_CHANGE: Final = "24h"
_SHARE_DECIMALS: Final = 6


def open_interest_context(batch: Sequence[AssetInterest]) -> ContextResult:
    """Contexts of one tier, in USD: of each asset its venues, then its aggregate, asset after asset."""
    tier = batch[0].tier
    past: list[float] = []
    for one in batch:
        day_ago = one.past[_HEADLINE_CHANGE].amounts.usd
        past += [*day_ago.tolist(), _sum(day_ago, one)]

    def rounded(usd: FloatArray) -> FloatArray:
        return usd.round(engine.USD_DECIMALS)

    def make(window: FloatArray) -> Prepared:
        grid = TIER_GRIDS[tier]
        usd, lag = rounded(window), DAY_MS // grid.slot_ms
        changes = engine.log_change_window(usd, lag)
        return prepare(usd[:, lag:], grid.slot_s, z_window=changes)

    return tier_contexts(
        OPEN_INTEREST_METRIC,
        tier,
        batch,
        lambda one: [*one.now.usd.tolist(), _sum(one.now.usd, one)],
        make,
        in_unit=rounded,
        z_current=lambda current: engine.log_change(current, np.array(past, dtype=float)),
    )


def _sum(usd: FloatArray, one: AssetInterest) -> float:
    """Over the ranked venues, all of them or none; nothing where too little of the market is inside."""
    if not one.ranked.any() or one.coverage < WITHHELD:
        return float("nan")
    return float(usd[one.ranked].sum())


def open_interest_payload(
    one: AssetInterest, context: ContextResult, offset: int, meta: Meta
) -> OpenInterestPayload:
    """The answer of one asset; its contexts start at ``offset``."""
    shares = engine.shares(one.now.usd, one.used)
    venues = {
        venue: _venue(one, index, context, offset + index, _number(shares[index]))
        for index, venue in enumerate(one.venues)
    }
    return OpenInterestPayload(
        asset=one.asset,
        aggregate=_aggregate(one, context, offset + len(one.venues)),
        venues={v: detail.value for v, detail in venues.items() if detail.value is not None},
        venues_detail=venues,
        meta=meta,
    )


def _aggregate(one: AssetInterest, context: ContextResult, index: int) -> OpenInterestAggregate:
    is_withheld = bool(one.used.any()) and one.coverage < WITHHELD
    inside = one.used & (not is_withheld)
    value = engine.total(one.now.usd, inside, engine.USD_DECIMALS)
    reason = "withheld" if is_withheld else absence_reason(one.health)
    changes = {name: _change(one, name, inside, reason) for name in one.past}
    used = [] if value is None else one.used_venues
    return OpenInterestAggregate(
        **_context(context, index, value, reason, changes),
        oi_base=engine.total(one.now.base, inside, engine.BASE_DECIMALS),
        changes=changes,
        venues_ranked=[] if value is None else _names(one, one.ranked),
        venues_used=used,
        venues_missing=missing_venues(one.health, used),
        coverage=round(one.coverage, 6),
        confidence=confidence_word(one.coverage),
    )


def _venue(
    one: AssetInterest, index: int, context: ContextResult, row: int, share: float | None
) -> OpenInterestVenue:
    said, health = one.said[index], one.health[one.venues[index]]
    value = _number(one.now.usd[index])
    alone = np.arange(len(one.venues)) == index
    changes = {name: _change(one, name, alone & one.used, health.null_reason) for name in one.past}
    return OpenInterestVenue(
        **_context(context, row, value, health.null_reason, changes),
        oi_base=None if value is None else said.oi_base,
        oi_contracts=None if value is None else said.oi_contracts,
        mark_price=said.mark_price,
        share=None if share is None else round(share, _SHARE_DECIMALS),
        changes=changes,
        symbol=said.row.instrument.symbol,
        updated_at=optional_iso(said.ts_ms),
        age_seconds=None if health.age_s is None else round(health.age_s, 3),
    )


def _context(
    context: ContextResult,
    index: int,
    value: float | None,
    absence: str,
    changes: dict[str, OpenInterestChange],
) -> dict[str, Any]:
    """The context part. ``value`` holds all venues; percentile and z are of the ranked ones."""
    fields = context_fields(context.row(index), USD, reason=absence if value is None else None)
    state = engine.state_of(changes[_HEADLINE_CHANGE].change_percent)
    if state is None and value is not None:
        fields.setdefault("null_reason", INSUFFICIENT_HISTORY)
    rounded = None if value is None else round(value, engine.USD_DECIMALS)
    return {**fields, "value": rounded, "window_kind": WINDOW_KIND, "state": state}


def _change(one: AssetInterest, name: str, inside: BoolArray, absence: str) -> OpenInterestChange:
    then = one.past[name]
    found = engine.change(one.now, then.amounts, inside)
    times = [ts for ts in (then.ts_ms[index] for index in found.venues) if ts is not None]
    numbers = (found.usd, found.usd_percent, found.base, found.base_percent)
    # No number now, or none then.
    why = INSUFFICIENT_HISTORY if inside.any() else absence
    return OpenInterestChange(
        change_usd=found.usd,
        change_percent=found.usd_percent,
        change_base=found.base,
        change_base_percent=found.base_percent,
        since=optional_iso(min(times, default=None)),
        venues=[one.venues[index] for index in found.venues],
        **({"null_reason": why} if None in numbers else {}),
    )


def _names(one: AssetInterest, inside: BoolArray) -> list[str]:
    return [venue for venue, is_in in zip(one.venues, inside, strict=True) if is_in]


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
