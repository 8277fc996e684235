"""Which Binance symbols are which FOCSAL assets, out of ``exchangeInfo``. Pure.

``1000PEPE`` is 1000 PEPE: a base asset that is a round thousand (or ``1M``) of an asset that we cover is
that asset with a ``price_mult``. ``1INCH`` and the like are names, not multiples.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import ASSETS
from apps.venues.binance.parse import VENUE, Market

DEFAULT_FUNDING_INTERVAL_H: Final = 8.0
_QUOTE: Final = "USDT"
_DATED: Final = frozenset({"CURRENT_MONTH", "NEXT_MONTH", "CURRENT_QUARTER", "NEXT_QUARTER"})
_MULTIPLE: Final = re.compile(r"(1(?:000)+|1M)(.+)")


class ListedSymbol(Struct, gc=False):
    """An element of ``symbols``; the contract fields exist on UM only."""

    symbol: Annotated[str, Meta(min_length=1, max_length=40)]
    status: str
    baseAsset: Annotated[str, Meta(min_length=1)]
    quoteAsset: str
    contractType: str | None = None
    marginAsset: str | None = None
    deliveryDate: int = 0
    filters: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True)
class Drop:
    """An asset of ours that this market does not offer, and why."""

    asset: str
    symbol: str | None
    reason: str


def split_multiple(base: str, assets: Collection[str] = ASSETS) -> tuple[str, float] | None:
    """(asset, price_mult) of a base asset, None when we do not cover it.

    >>> split_multiple("1000PEPE"), split_multiple("PEPE"), split_multiple("1INCH")
    (('PEPE', 1000.0), ('PEPE', 1.0), None)
    """
    if base in assets:
        return base, 1.0
    match = _MULTIPLE.fullmatch(base)
    if match is None or match[2] not in assets:
        return None
    return match[2], 1e6 if match[1] == "1M" else float(match[1])


def instruments_from_exchange_info(
    body: Mapping[str, Any],
    market: Market,
    *,
    assets: Collection[str] = ASSETS,
    funding_intervals: Mapping[str, float] | None = None,
) -> tuple[list[Instrument], list[Drop]]:
    """Instruments of ``assets``, one per asset, and what is missing.

    Only trading USDT listings count, on UM only perpetual ones. Tick and lot sizes are per base unit,
    like prices and quantities.
    """
    found: dict[str, Instrument] = {}
    refused: dict[str, Drop] = {}
    for entry in body.get("symbols", ()):
        try:
            listed = msgspec.convert(entry, ListedSymbol, strict=False)
        except msgspec.ValidationError:
            continue
        split = split_multiple(listed.baseAsset, assets)
        if split is None or listed.quoteAsset != _QUOTE:
            continue
        asset, mult = split
        reason = _refusal(listed, market)
        if reason is not None:
            refused.setdefault(asset, Drop(asset, listed.symbol, reason))
        elif asset not in found or mult < found[asset].price_mult:
            found[asset] = _instrument(listed, market, asset, mult, funding_intervals or {})
    drops = [
        refused.get(asset) or Drop(asset, None, "not listed")
        for asset in assets
        if asset not in found
    ]
    return [found[asset] for asset in assets if asset in found], drops


def futures_from_exchange_info(
    body: Mapping[str, Any], *, assets: Collection[str] = ASSETS
) -> list[Instrument]:
    """Trading USDT contracts with a delivery of these assets, by asset and delivery."""
    found: list[Instrument] = []
    for entry in body.get("symbols", ()):
        try:
            listed = msgspec.convert(entry, ListedSymbol, strict=False)
        except msgspec.ValidationError:
            continue
        split = split_multiple(listed.baseAsset, assets)
        is_dated = listed.contractType in _DATED and listed.deliveryDate > 0
        if split is None or not is_dated or _is_foreign(listed) or listed.status != "TRADING":
            continue
        made = _instrument(listed, Market.UM, *split, {})
        found.append(
            msgspec.structs.replace(
                made,
                kind=InstrumentKind.FUTURE,
                funding_interval_h=None,
                expiry_ms=listed.deliveryDate,
            )
        )
    return sorted(found, key=lambda one: (one.asset, one.expiry_ms))


def _is_foreign(listed: ListedSymbol) -> bool:
    return listed.quoteAsset != _QUOTE or listed.marginAsset not in (None, _QUOTE)


def _refusal(listed: ListedSymbol, market: Market) -> str | None:
    if listed.status != "TRADING":
        return f"status {listed.status[:30]}"
    if market is Market.UM and listed.contractType != "PERPETUAL":
        return f"contract type {str(listed.contractType)[:30]}"
    if market is Market.UM and listed.marginAsset not in (None, _QUOTE):
        return f"margin asset {str(listed.marginAsset)[:30]}"
    return None


def _instrument(
    listed: ListedSymbol, market: Market, asset: str, mult: float, intervals: Mapping[str, float]
) -> Instrument:
    tick = _filter_value(listed, "PRICE_FILTER", "tickSize")
    lot = _filter_value(listed, "LOT_SIZE", "stepSize")
    is_perp = market is Market.UM
    return Instrument(
        venue=VENUE,
        symbol=listed.symbol,
        asset=asset,
        kind=InstrumentKind.PERP if is_perp else InstrumentKind.SPOT,
        quote=_QUOTE,
        price_mult=mult,
        tick_size=float(f"{tick / mult:.12g}") if tick else None,
        lot_size=lot * mult if lot else None,
        # fundingInfo lists only symbols whose interval was adjusted.
        funding_interval_h=intervals.get(listed.symbol, DEFAULT_FUNDING_INTERVAL_H)
        if is_perp
        else None,
    )


def _filter_value(listed: ListedSymbol, filter_type: str, name: str) -> float | None:
    for entry in listed.filters:
        if entry.get("filterType") == filter_type:
            try:
                value = float(entry.get(name, 0))
            except (TypeError, ValueError):
                return None
            return value if 0 < value < float("inf") else None
    return None
