"""ccxt's unified markets → instruments. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import ASSETS

_QUOTES: Final = ("USDT", "USDC", "USD")
"""In the order of preference, where a venue lists an asset against several."""
_MULTIPLE: Final = re.compile(r"(1(?:000)+|1M|k|K)(.+)")


@dataclass(frozen=True, slots=True)
class Drop:
    """An asset of ours that the venue's list names, or not, but that is not followed."""

    asset: str
    symbol: str | None
    reason: str


def split_multiple(base: str, assets: Collection[str] = ASSETS) -> tuple[str, float] | None:
    """(asset, price_mult) of a base, None when it is none of ours.

    >>> split_multiple("1000PEPE"), split_multiple("kPEPE"), split_multiple("PEPE")
    (('PEPE', 1000.0), ('PEPE', 1000.0), ('PEPE', 1.0))
    """
    if base in assets:
        return base, 1.0
    match = _MULTIPLE.fullmatch(base)
    if match is None or match[2] not in assets:
        return None
    if match[1] == "1M":
        return match[2], 1e6
    return match[2], 1000.0 if match[1] in ("k", "K") else float(match[1])


def instruments_from_markets(
    venue: str, markets: Iterable[Mapping[str, Any]], assets: Collection[str] = ASSETS
) -> tuple[list[Instrument], list[Drop]]:
    """One linear perpetual per asset. ``symbol`` is ccxt's own: every unified call takes it."""
    found: dict[str, Instrument] = {}
    refused: dict[str, Drop] = {}
    for market in markets:
        split = split_multiple(str(market.get("base")), assets)
        if split is None or not market.get("swap"):
            continue
        asset, mult = split
        symbol = str(market["symbol"])
        reason = _refusal(market)
        if reason is not None:
            refused.setdefault(asset, Drop(asset, symbol, reason))
        elif asset not in found or _rank(market["quote"]) < _rank(found[asset].quote):
            found[asset] = _instrument(venue, market, asset, mult)
    drops = [
        refused.get(asset) or Drop(asset, None, "not listed")
        for asset in assets
        if asset not in found
    ]
    return [found[asset] for asset in assets if asset in found], drops


def _rank(quote: str) -> int:
    return _QUOTES.index(quote)


def _refusal(market: Mapping[str, Any]) -> str | None:
    if market.get("active") is False:
        return "not active"
    if market.get("quote") not in _QUOTES:
        return f"quote {str(market.get('quote'))[:30]}"
    if not market.get("linear"):
        return "not linear"
    return None


def _instrument(venue: str, market: Mapping[str, Any], asset: str, mult: float) -> Instrument:
    size = market.get("contractSize")
    return Instrument(
        venue=venue,
        symbol=str(market["symbol"]),
        asset=asset,
        kind=InstrumentKind.PERP,
        quote=str(market["quote"]),
        price_mult=mult,
        contract_size=float(size) if isinstance(size, int | float) and size > 0 else 1.0,
    )
