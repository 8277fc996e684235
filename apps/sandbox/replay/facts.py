"""What a recording tells of its instruments: symbols from its streams, grids from its prices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from apps.sandbox.faces.registry import VenueFace
from apps.sandbox.market.listing import Listing
from apps.sandbox.replay.catalog import InstrumentFacts, Manifest

_QUOTES: Final = ("USDT", "USDC", "BUSD", "USD")
_THOUSAND: Final = "1000"
_FALLBACK_DECIMALS: Final = 8


def grid_of(values: Iterable[str]) -> tuple[float, int]:
    """(step, decimals) of the coarsest decimal grid that all the values lie on."""
    texts = list(values)
    if not texts:
        return 10.0**-_FALLBACK_DECIMALS, _FALLBACK_DECIMALS
    decimals = max(len(text.partition(".")[2]) for text in texts)
    unit = math.gcd(*(round(float(text) * 10**decimals) for text in texts)) or 1
    # Venues' grids are powers of ten; prices that happen to share a factor say nothing.
    power = 1
    while unit % (power * 10) == 0:
        power *= 10
    return round(power / 10**decimals, decimals), decimals


def _split_symbol(symbol: str) -> tuple[str, str]:
    for quote in _QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    return symbol, "USDT"


def _listing(manifest: Manifest, facts: InstrumentFacts, book: Mapping[str, Any]) -> Listing:
    levels = [*book.get("bids", ()), *book.get("asks", ())]
    tick, price_decimals = grid_of(price for price, _ in levels)
    lot, lot_decimals = grid_of(size for _, size in levels)
    kind = facts.kind or ("spot" if manifest.connection == "spot" else "perp")
    base, quote = _split_symbol(facts.symbol)
    thousand = kind == "perp" and base.startswith(_THOUSAND)
    interval_h = facts.funding_interval_h
    return Listing(
        venue=manifest.venue,
        kind=kind,
        symbol=facts.symbol,
        asset=facts.asset or (base.removeprefix(_THOUSAND) if thousand else base),
        quote=facts.quote or quote,
        price_mult=facts.price_mult or (1000.0 if thousand else 1.0),
        tick=facts.tick_size or tick,
        price_decimals=price_decimals if levels else _decimals(facts.tick_size),
        lot=facts.lot_size or lot,
        lot_decimals=lot_decimals if levels else _decimals(facts.lot_size),
        daily_volume_usd=0.0,
        open_interest_usd=0.0,
        trades_per_minute=0.0,
        book_step_ms=100,
        spread_ticks=1,
        funding_interval_h=None if kind != "perp" else int(interval_h) if interval_h else 8,
        contract_size=facts.contract_size,
        is_inverse=facts.is_inverse,
        expiry_ms=facts.expiry_ms,
        strike=facts.strike,
        option_type=facts.option_type,
    )


def _decimals(step: float | None) -> int:
    text = f"{step or 0.0:.{_FALLBACK_DECIMALS}f}".rstrip("0")
    return len(text.partition(".")[2]) if step else _FALLBACK_DECIMALS


def listings_of(
    manifest: Manifest,
    face: VenueFace,
    streams: Iterable[str],
    books: Mapping[str, Mapping[str, Any]],
) -> tuple[Listing, ...]:
    """One listing per recorded symbol: those of the manifest first, then in the order of the streams."""
    told = {facts.symbol: facts for facts in manifest.instruments}
    named = (face.stream_of(name) for name in streams)
    symbols = dict.fromkeys([*told, *(one.symbol for one in named if one and one.symbol)])
    return tuple(
        _listing(manifest, told.get(symbol, InstrumentFacts(symbol)), books.get(symbol, {}))
        for symbol in symbols
    )
