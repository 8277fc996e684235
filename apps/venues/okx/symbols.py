"""OKX's instrument list as ours: which swaps, and how many coins a contract is. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import ASSETS
from apps.venues.okx.convert import VENUE

DEFAULT_FUNDING_INTERVAL_H: Final = 8.0
_QUOTE: Final = "USDT"
_DATED: Final = frozenset({("USDT", "linear"), ("USD", "inverse")})
_KINDS: Final = {
    "SWAP": InstrumentKind.PERP,
    "FUTURES": InstrumentKind.FUTURE,
    "SPOT": InstrumentKind.SPOT,
    "OPTION": InstrumentKind.OPTION,
}
_OPTION_TYPES: Final = {"C": "call", "P": "put"}


class ListedInstrument(Struct, gc=False):
    """A row of ``/api/v5/public/instruments``; ``instFamily`` is missing in old bodies, ``uly`` is not.

    One contract is ``ctVal × ctMult`` of ``ctValCcy``: coins when ``ctType`` is linear, USD when inverse.
    """

    instId: str
    instType: str
    state: str = ""
    instFamily: str = ""
    uly: str = ""
    baseCcy: str = ""
    quoteCcy: str = ""
    settleCcy: str = ""
    ctVal: str = ""
    ctMult: str = ""
    ctValCcy: str = ""
    ctType: str = ""
    lotSz: str = ""
    tickSz: str = ""
    expTime: str = ""
    stk: str = ""
    optType: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """Base and quote: of the family for derivatives, whose own fields are empty."""
        if self.baseCcy and self.quoteCcy:
            return self.baseCcy, self.quoteCcy
        base, _, quote = (self.instFamily or self.uly).partition("-")
        return base, quote


@dataclass(frozen=True, slots=True)
class Drop:
    """An asset of ours that OKX does not offer as a USDT swap, and why."""

    asset: str
    symbol: str | None
    reason: str


class NotUsable(ValueError):
    """A listing whose contract cannot be converted; the text is the reason."""


def listed_instruments(rows: Iterable[object]) -> list[ListedInstrument]:
    """Readable rows of an instrument list; others are left out."""
    found = []
    for row in rows:
        try:
            found.append(msgspec.convert(row, ListedInstrument, strict=False))
        except msgspec.ValidationError:
            continue
    return found


def instrument_of(listed: ListedInstrument, funding_interval_h: float | None = None) -> Instrument:
    """Any listing as an instrument; raises :class:`NotUsable`."""
    kind = _KINDS.get(listed.instType)
    if kind is None:
        raise NotUsable(f"instrument type {listed.instType[:20]}")
    base, quote = listed.pair
    if not base or not quote:
        raise NotUsable("neither family nor currencies")
    is_inverse = listed.ctType == "inverse"
    size = 1.0
    if kind is not InstrumentKind.SPOT:
        size = _positive(listed.ctVal, "ctVal") * _positive(listed.ctMult or "1", "ctMult")
        if listed.ctType not in ("linear", "inverse") and kind is not InstrumentKind.OPTION:
            raise NotUsable(f"contract type {listed.ctType[:20]!r}")
        expected = quote if is_inverse else base
        if listed.ctValCcy not in (expected, ""):
            raise NotUsable(f"contract value in {listed.ctValCcy[:20]}, expected {expected}")
    lot = _number(listed.lotSz)
    expiry = _number(listed.expTime)
    return Instrument(
        venue=VENUE,
        symbol=listed.instId,
        asset=base,
        kind=kind,
        quote=quote,
        contract_size=float(f"{size:.12g}"),
        is_inverse=is_inverse,
        tick_size=_number(listed.tickSz),
        # Base units; an inverse lot has no fixed number of them.
        lot_size=float(f"{lot * size:.12g}") if lot and not is_inverse else None,
        funding_interval_h=funding_interval_h if kind is InstrumentKind.PERP else None,
        expiry_ms=int(expiry) if expiry else None,
        is_active=listed.state in ("live", ""),
        strike=_number(listed.stk),
        option_type=_OPTION_TYPES.get(listed.optType),
    )


def swaps_of(
    rows: Iterable[object],
    *,
    assets: Collection[str] = ASSETS,
    funding_intervals: Mapping[str, float] | None = None,
) -> tuple[list[Instrument], list[Drop]]:
    """USDT swaps of ``assets``, and what is missing. TON is not GRAM's old name here: it was delisted."""
    intervals = funding_intervals or {}
    found: dict[str, Instrument] = {}
    refused: dict[str, Drop] = {}
    for listed in listed_instruments(rows):
        base, quote = listed.pair
        if listed.instType != "SWAP" or quote != _QUOTE or base not in assets:
            continue
        reason = _refusal(listed)
        if reason is None:
            hours = intervals.get(listed.instId, DEFAULT_FUNDING_INTERVAL_H)
            try:
                found[base] = instrument_of(listed, hours)
            except NotUsable as error:
                reason = str(error)
        if reason is not None:
            refused.setdefault(base, Drop(base, listed.instId, reason))
    drops = [
        refused.get(asset) or Drop(asset, None, "not listed")
        for asset in assets
        if asset not in found
    ]
    return [found[asset] for asset in assets if asset in found], drops


def futures_of(rows: Iterable[object], *, assets: Collection[str] = ASSETS) -> list[Instrument]:
    """Contracts with a delivery, in USDT and in USD (inverse), by asset and delivery."""
    found: list[Instrument] = []
    for listed in listed_instruments(rows):
        base, quote = listed.pair
        is_ours = base in assets and (quote, listed.ctType) in _DATED
        if listed.instType != "FUTURES" or listed.state != "live" or not is_ours:
            continue
        try:
            one = instrument_of(listed)
        except NotUsable:
            continue
        if one.expiry_ms is not None:
            found.append(one)
    return sorted(found, key=lambda one: (one.asset, one.expiry_ms, one.symbol))


def _refusal(listed: ListedInstrument) -> str | None:
    if listed.state != "live":
        return f"state {listed.state[:30]}"
    if listed.settleCcy != _QUOTE:
        return f"settled in {listed.settleCcy[:30]}"
    if listed.ctType != "linear":
        return f"contract type {listed.ctType[:30]}"
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _positive(text: str, what: str) -> float:
    value = _number(text)
    if value is None:
        raise NotUsable(f"{what} {text[:20]!r}")
    return value
