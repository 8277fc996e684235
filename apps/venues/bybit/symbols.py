"""Bybit's instrument list as ours: which perpetuals, and how many tokens a quoted unit is. Pure.

The multiple stands before the name (1000PEPE, 10000SATS) or after it (SHIB1000).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import ASSETS
from apps.venues.bybit.convert import VENUE

DEFAULT_FUNDING_INTERVAL_H: Final = 8.0
_QUOTE: Final = "USDT"
_DATED_QUOTES: Final = frozenset({"USDT", "USDC"})
_BEFORE: Final = re.compile(r"(10{3,})(.+)")
_AFTER: Final = re.compile(r"(.+?)(10{3,})")


class ListedInstrument(Struct, gc=False):
    """A row of ``/v5/market/instruments-info``; ``fundingInterval`` is in minutes."""

    symbol: Annotated[str, Meta(min_length=1, max_length=40)]
    status: str
    baseCoin: Annotated[str, Meta(min_length=1)]
    quoteCoin: str
    contractType: str = ""
    settleCoin: str = ""
    fundingInterval: float = 0.0
    deliveryTime: int = 0
    isPreListing: bool = False
    priceFilter: dict[str, Any] = {}
    lotSizeFilter: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Drop:
    """An asset of ours that Bybit does not offer as a USDT perpetual, and why."""

    asset: str
    symbol: str | None
    reason: str


def split_multiple(base: str, assets: Collection[str] = ASSETS) -> tuple[str, float] | None:
    """(asset, price_mult) of a base coin, None when we do not cover it.

    >>> split_multiple("1000PEPE"), split_multiple("SHIB1000"), split_multiple("1INCH")
    (('PEPE', 1000.0), ('SHIB', 1000.0), None)
    """
    if base in assets:
        return base, 1.0
    before, after = _BEFORE.fullmatch(base), _AFTER.fullmatch(base)
    if before is not None and before[2] in assets:
        return before[2], float(before[1])
    if after is not None and after[1] in assets:
        return after[1], float(after[2])
    return None


def interval_h(minutes: float) -> float | None:
    """Hours of a ``fundingInterval``; None for what no perpetual has."""
    hours = minutes / 60.0
    return hours if 1.0 <= hours <= 24.0 else None


def listed_instruments(rows: Iterable[object]) -> list[ListedInstrument]:
    """Readable rows of an instrument list; others are left out."""
    found = []
    for row in rows:
        try:
            found.append(msgspec.convert(row, ListedInstrument, strict=False))
        except msgspec.ValidationError:
            continue
    return found


def perpetuals_of(
    rows: Iterable[object], *, assets: Collection[str] = ASSETS
) -> tuple[list[Instrument], list[Drop]]:
    """USDT perpetuals of ``assets``, one per asset, and what is missing."""
    found: dict[str, Instrument] = {}
    refused: dict[str, Drop] = {}
    for listed in listed_instruments(rows):
        split = split_multiple(listed.baseCoin, assets)
        if split is None or listed.quoteCoin != _QUOTE:
            continue
        asset, mult = split
        reason = _refusal(listed)
        if reason is not None:
            refused.setdefault(asset, Drop(asset, listed.symbol, reason))
        elif asset not in found or mult < found[asset].price_mult:
            found[asset] = _instrument(listed, asset, mult)
    drops = [
        refused.get(asset) or Drop(asset, None, "not listed")
        for asset in assets
        if asset not in found
    ]
    return [found[asset] for asset in assets if asset in found], drops


def futures_of(rows: Iterable[object], *, assets: Collection[str] = ASSETS) -> list[Instrument]:
    """Linear contracts with a delivery, by asset and delivery: settled in the currency they quote."""
    found: list[Instrument] = []
    for listed in listed_instruments(rows):
        split = split_multiple(listed.baseCoin, assets)
        is_dated = listed.contractType == "LinearFutures" and listed.deliveryTime > 0
        is_ours = listed.quoteCoin in _DATED_QUOTES and listed.settleCoin == listed.quoteCoin
        if split is None or not is_dated or not is_ours or listed.status != "Trading":
            continue
        found.append(
            msgspec.structs.replace(
                _instrument(listed, *split),
                kind=InstrumentKind.FUTURE,
                quote=listed.quoteCoin,
                funding_interval_h=None,
                expiry_ms=listed.deliveryTime,
            )
        )
    return sorted(found, key=lambda one: (one.asset, one.expiry_ms, one.symbol))


def _refusal(listed: ListedInstrument) -> str | None:
    if listed.contractType != "LinearPerpetual":
        return f"contract type {listed.contractType[:30]}"
    if listed.status != "Trading":
        return f"status {listed.status[:30]}"
    if listed.settleCoin != _QUOTE:
        return f"settled in {listed.settleCoin[:30]}"
    if listed.isPreListing:
        return "not trading yet"
    return None


def _instrument(listed: ListedInstrument, asset: str, mult: float) -> Instrument:
    tick = _number(listed.priceFilter.get("tickSize"))
    lot = _number(listed.lotSizeFilter.get("qtyStep"))
    return Instrument(
        venue=VENUE,
        symbol=listed.symbol,
        asset=asset,
        kind=InstrumentKind.PERP,
        quote=_QUOTE,
        price_mult=mult,
        # Per token, like prices and quantities.
        tick_size=float(f"{tick / mult:.12g}") if tick else None,
        lot_size=lot * mult if lot else None,
        funding_interval_h=interval_h(listed.fundingInterval) or DEFAULT_FUNDING_INTERVAL_H,
    )


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None
