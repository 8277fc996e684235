"""What is stored of a live state every five minutes: each number once per slot, while it is fresh. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apps.marketdata.events import FundingKind
from apps.marketdata.rows import BasisRow, FundingRow, OpenInterestRow, SeriesRow

if TYPE_CHECKING:
    from apps.ingest.state import Listing

SAMPLE_MS: Final = 300_000
SAME_MOMENT_MS: Final = 5_000
"""Mark price and index make a basis when their times differ by no more."""
_STALE_MS: Final = 120_000
"""What was not renewed for this long is not sampled: the stream has gone quiet. The slowest venue renews
its predicted rate every 90 s."""


def due(listing: Listing, now_ms: int, origin: str) -> list[SeriesRow]:
    """Samples of predicted funding and of mark with index that this slot has not had."""
    found = (_funding(listing, now_ms, origin), _basis(listing, now_ms, origin))
    return [row for row in found if row is not None]


def _funding(listing: Listing, now_ms: int, origin: str) -> FundingRow | None:
    state, slot = listing.state, now_ms // SAMPLE_MS
    if (
        slot == listing.funding_slot
        or state.funding_ts_ms is None
        or state.next_funding_ms is None
        or state.funding_rate is None
        or now_ms - state.funding_ts_ms > _STALE_MS
    ):
        return None
    listing.funding_slot = slot
    return FundingRow(
        instrument_id=listing.row_id,
        kind=FundingKind.PREDICTED.value,
        ts=state.funding_ts_ms,
        # A venue's clock may be ahead of ours.
        known_at=max(now_ms, state.funding_ts_ms),
        funding_ts=state.next_funding_ms,
        rate=state.funding_rate,
        rate_raw=state.funding_rate_raw or "",
        interval_h=state.funding_interval_h,
        origin=origin,
    )


def _basis(listing: Listing, now_ms: int, origin: str) -> BasisRow | None:
    state, slot = listing.state, now_ms // SAMPLE_MS
    if (
        slot == listing.basis_slot
        or state.mark_price is None
        or state.mark_ts_ms is None
        or state.index_price is None
        or state.index_ts_ms is None
        or abs(state.mark_ts_ms - state.index_ts_ms) > SAME_MOMENT_MS
        or now_ms - state.mark_ts_ms > _STALE_MS
    ):
        return None
    listing.basis_slot = slot
    return BasisRow(
        instrument_id=listing.row_id,
        ts=state.mark_ts_ms,
        known_at=max(now_ms, state.mark_ts_ms, state.index_ts_ms),
        mark_price=state.mark_price,
        index_price=state.index_price,
        origin=origin,
    )


def open_interest(listing: Listing, now_ms: int, origin: str) -> OpenInterestRow | None:
    """The sample of this slot, when it is the first."""
    state, slot = listing.state, now_ms // SAMPLE_MS
    if (
        slot == listing.oi_slot
        or state.oi_ts_ms is None
        or state.oi_contracts is None
        or state.oi_base is None
    ):
        return None
    listing.oi_slot = slot
    return OpenInterestRow(
        instrument_id=listing.row_id,
        ts=state.oi_ts_ms,
        known_at=max(now_ms, state.oi_ts_ms),
        oi_contracts=state.oi_contracts,
        oi_base=state.oi_base,
        oi_usd=state.oi_usd,
        origin=origin,
    )
