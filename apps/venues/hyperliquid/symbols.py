"""Which Hyperliquid perpetuals are which FOCSAL assets, out of ``metaAndAssetCtxs``. Pure.

``kPEPE`` is 1000 PEPE. Builders' markets (HIP-3) are called ``dex:COIN`` and are not Hyperliquid's own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import ASSETS
from apps.venues.hyperliquid.parse import FUNDING_INTERVAL_H, VENUE
from apps.venues.hyperliquid.wire import PriceOrZero

THOUSAND: Final = "k"
_QUOTE: Final = "USDC"
_MOST_DECIMALS: Final = 6
"""Of price and size together."""
_SIGNIFICANT: Final = 5


class ListedCoin(Struct, gc=False):
    """An element of ``universe``; ``szDecimals`` are the decimals of sizes."""

    name: Annotated[str, Meta(min_length=1, max_length=40)]
    szDecimals: Annotated[int, Meta(ge=0, le=12)]
    isDelisted: bool | None = None


class MarkOnly(Struct, gc=False):
    markPx: PriceOrZero | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """An asset of ours that this venue does not offer, and why."""

    asset: str
    symbol: str | None
    reason: str


def split_multiple(name: str, assets: Collection[str] = ASSETS) -> tuple[str, float] | None:
    """(asset, price_mult) of a coin's name, None when we do not cover it.

    >>> split_multiple("kPEPE"), split_multiple("BTC"), split_multiple("xyz:BTC"), split_multiple("KPEPE")
    (('PEPE', 1000.0), ('BTC', 1.0), None, None)
    """
    if name in assets:
        return name, 1.0
    if name.startswith(THOUSAND) and name[1:] in assets:
        return name[1:], 1000.0
    return None


def tick_of(price: float, size_decimals: int) -> float:
    """Prices have at most five significant digits and 6 − ``size_decimals`` decimals; whole numbers are
    always allowed.

    >>> tick_of(105_055.0, 5), tick_of(0.0085, 0), tick_of(0.00012, 1)
    (1.0, 1e-06, 1e-05)
    """
    finest = max(_MOST_DECIMALS - size_decimals, 0)
    if price > 0:
        finest = min(finest, max(_SIGNIFICANT - 1 - math.floor(math.log10(price)), 0))
    return float(f"1e-{finest}")


def universe_of(meta: object) -> list[str]:
    """Names by index; "" for an entry that cannot be read, so that the others keep their places."""
    return [coin.name if coin else "" for coin in _coins(meta)]


def instruments_from_meta(
    meta: object, states: Sequence[Any] = (), *, assets: Collection[str] = ASSETS
) -> tuple[list[Instrument], list[Drop]]:
    """Instruments of ``assets``, one per asset, and what is missing.

    ``states[i]`` belongs to ``universe[i]``. A tick depends on the price: without a state it is the finest
    that the decimals of sizes leave room for.
    """
    found: dict[str, Instrument] = {}
    refused: dict[str, Drop] = {}
    for index, coin in enumerate(_coins(meta)):
        split = split_multiple(coin.name, assets) if coin else None
        if coin is None or split is None:
            continue
        asset, mult = split
        if coin.isDelisted:
            refused.setdefault(asset, Drop(asset, coin.name, "delisted"))
        elif asset not in found:
            price = _mark(states[index]) if index < len(states) else 0.0
            found[asset] = _instrument(coin, asset, mult, price)
    drops = [
        refused.get(asset) or Drop(asset, None, "not listed")
        for asset in assets
        if asset not in found
    ]
    return [found[asset] for asset in assets if asset in found], drops


def _coins(meta: object) -> list[ListedCoin | None]:
    listed = meta.get("universe") if isinstance(meta, dict) else None
    coins: list[ListedCoin | None] = []
    for entry in listed if isinstance(listed, list) else ():
        try:
            coins.append(msgspec.convert(entry, ListedCoin, strict=False))
        except msgspec.ValidationError:
            coins.append(None)
    return coins


def _mark(state: object) -> float:
    try:
        return msgspec.convert(state, MarkOnly, strict=False).markPx or 0.0
    except msgspec.ValidationError:
        return 0.0


def _instrument(coin: ListedCoin, asset: str, mult: float, price: float) -> Instrument:
    return Instrument(
        venue=VENUE,
        symbol=coin.name,
        asset=asset,
        kind=InstrumentKind.PERP,
        quote=_QUOTE,
        price_mult=mult,
        tick_size=float(f"{tick_of(price, coin.szDecimals) / mult:.12g}"),
        lot_size=float(f"1e-{coin.szDecimals}") * mult,
        funding_interval_h=FUNDING_INTERVAL_H,
    )
