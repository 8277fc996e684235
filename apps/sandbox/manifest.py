"""What the control face says of streams and instruments, for clients to plan from."""

from __future__ import annotations

from typing import Any

from apps.sandbox.faces.registry import VenueFace
from apps.sandbox.market.listing import Listing


def stream_entry(face: VenueFace, channel: str) -> dict[str, Any] | None:
    """None for a channel that our adapter never asks for."""
    stream = face.stream_of(channel)
    return None if stream is None else {"venue": face.key.venue, **stream._asdict()}


def instrument_entry(listing: Listing) -> dict[str, Any]:
    """The fields of ``marketdata.instruments.Instrument``."""
    return {
        "venue": listing.venue,
        "symbol": listing.symbol,
        "asset": listing.asset,
        "kind": listing.kind,
        "quote": listing.quote,
        "price_mult": listing.price_mult,
        "contract_size": listing.contract_size,
        "is_inverse": listing.is_inverse,
        "tick_size": listing.tick,
        "lot_size": listing.lot,
        "funding_interval_h": listing.funding_interval_h,
        "expiry_ms": listing.expiry_ms,
        "strike": listing.strike,
        "option_type": listing.option_type,
    }
