"""Which Deribit listings are which FOCSAL instruments, out of ``public/get_instruments``. Pure.

BTC and ETH are followed where their market is: the inverse perpetuals and the coin-settled options. SOL and
XRP have linear perpetuals and options under ``currency=USDC``, together with those of other coins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import ASSETS
from apps.venues.deribit import wire
from apps.venues.deribit.convert import RATE_HOURS, VENUE

PERPETUALS: Final[Mapping[str, str]] = {
    "BTC": "BTC-PERPETUAL",
    "ETH": "ETH-PERPETUAL",
    "SOL": "SOL_USDC-PERPETUAL",
    "XRP": "XRP_USDC-PERPETUAL",
}
OPTION_PREFIXES: Final[Mapping[str, str]] = {
    "BTC": "BTC-",
    "ETH": "ETH-",
    "SOL": "SOL_USDC-",
    "XRP": "XRP_USDC-",
}
CURRENCIES: Final = ("BTC", "ETH", "USDC")
"""What ``currency`` may be in requests for our listings."""
PRICE_INDEX: Final[Mapping[str, str]] = {
    "BTC": "btc_usd",
    "ETH": "eth_usd",
    "SOL": "sol_usdc",
    "XRP": "xrp_usdc",
}
DVOL_ASSETS: Final = ("BTC", "ETH")
_ASSET_OF_PERPETUAL: Final = {symbol: asset for asset, symbol in PERPETUALS.items()}


class ListedInstrument(Struct, gc=False):
    """An element of ``get_instruments``; ``settlement_period`` is perpetual for perpetuals."""

    instrument_name: wire.Name
    kind: str
    base_currency: str
    quote_currency: str
    is_active: bool
    tick_size: Annotated[float, Meta(gt=0, le=1e9)]
    contract_size: Annotated[float, Meta(gt=0, le=1e9)]
    min_trade_amount: Annotated[float, Meta(gt=0, le=1e12)]
    expiration_timestamp: Annotated[int, Meta(ge=0, le=100_000_000_000_000)] = 0
    settlement_period: str = ""
    settlement_currency: str | None = None
    counter_currency: str = "USD"
    option_type: str | None = None
    strike: float | None = None
    state: str = "open"

    @property
    def is_inverse(self) -> bool:
        """Settled in the coin itself. Lists before 2022 do not say, and had nothing else."""
        settled_in = self.settlement_currency or self.base_currency
        return settled_in == self.base_currency


@dataclass(frozen=True, slots=True)
class Drop:
    """An asset of ours that is not followed here, and why."""

    asset: str
    symbol: str | None
    reason: str


def currency_of(asset: str) -> str:
    """The ``currency`` under which an asset's listings are found."""
    return asset if asset in ("BTC", "ETH") else "USDC"


def listed_rows(rows: Iterable[object]) -> tuple[list[ListedInstrument], int]:
    """Readable rows, and how many were not."""
    found: list[ListedInstrument] = []
    bad = 0
    for row in rows:
        try:
            found.append(msgspec.convert(row, ListedInstrument))
        except msgspec.ValidationError:
            bad += 1
    return found, bad


def perpetuals(listed: Iterable[ListedInstrument]) -> tuple[list[Instrument], list[Drop]]:
    """The followed perpetuals, one per asset, and what is missing or left out."""
    found: dict[str, Instrument] = {}
    others: dict[str, Drop] = {}
    for row in listed:
        if row.kind != "future" or row.settlement_period != "perpetual":
            continue
        asset = _ASSET_OF_PERPETUAL.get(row.instrument_name)
        if asset is None:
            name = row.base_currency
            if name in ASSETS and name not in PERPETUALS:
                others[name] = Drop(
                    name, row.instrument_name, "only BTC, ETH, SOL, XRP are followed"
                )
        elif _is_open(row):
            found[asset] = _perpetual(row, asset)
        else:
            others[asset] = Drop(asset, row.instrument_name, f"state {row.state[:30]}")
    drops = [
        others.get(asset) or Drop(asset, None, "not listed")
        for asset in ASSETS
        if asset not in found
    ]
    return [found[asset] for asset in PERPETUALS if asset in found], drops


def futures(listed: Iterable[ListedInstrument]) -> list[Instrument]:
    """Open inverse contracts with a delivery of BTC and ETH, by asset and delivery."""
    found = [
        msgspec.structs.replace(
            _perpetual(row, row.base_currency),
            kind=InstrumentKind.FUTURE,
            funding_interval_h=None,
            expiry_ms=row.expiration_timestamp,
        )
        for row in listed
        if row.kind == "future"
        and row.settlement_period not in ("perpetual", "")
        and row.base_currency in DVOL_ASSETS
        and row.is_inverse
        and row.expiration_timestamp
        and _is_open(row)
    ]
    return sorted(found, key=lambda one: (one.asset, one.expiry_ms))


def options(listed: Iterable[ListedInstrument]) -> list[Instrument]:
    """Every open option on an asset of ours, by expiry, strike and type."""
    found = [
        _option(row, asset)
        for row in listed
        if row.kind == "option" and _is_open(row) and row.strike and row.option_type
        for asset, prefix in OPTION_PREFIXES.items()
        if row.instrument_name.startswith(prefix)
    ]
    return sorted(found, key=lambda one: (one.asset, one.expiry_ms, one.strike, one.option_type))


def _is_open(row: ListedInstrument) -> bool:
    return row.is_active and row.state in ("open", "started", "")


def _perpetual(row: ListedInstrument, asset: str) -> Instrument:
    inverse = row.is_inverse
    return Instrument(
        venue=VENUE,
        symbol=row.instrument_name,
        asset=asset,
        kind=InstrumentKind.PERP,
        quote="USD" if inverse else row.quote_currency,
        contract_size=row.contract_size,
        is_inverse=inverse,
        tick_size=row.tick_size,
        # Of an inverse listing this is in USD, as the venue's amounts are.
        lot_size=row.min_trade_amount,
        funding_interval_h=RATE_HOURS,
    )


def _option(row: ListedInstrument, asset: str) -> Instrument:
    return Instrument(
        venue=VENUE,
        symbol=row.instrument_name,
        asset=asset,
        kind=InstrumentKind.OPTION,
        quote=asset if row.is_inverse else row.quote_currency,
        contract_size=row.contract_size,
        is_inverse=row.is_inverse,
        tick_size=row.tick_size,
        lot_size=row.min_trade_amount,
        expiry_ms=row.expiration_timestamp,
        strike=row.strike,
        option_type=row.option_type,
    )
