"""What changed between two instrument lists of one venue, and what it does not offer. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apps.marketdata.instruments import Instrument, InstrumentKind


class ChangeKind(StrEnum):
    LISTED = "listed"
    DELISTED = "delisted"
    RENAMED = "renamed"
    """Another symbol took the place of one that is gone: same asset, kind and quote."""
    MULTIPLIER = "multiplier"
    """Price multiplier, contract size or contract type: past and present units differ."""
    FUNDING_INTERVAL = "funding_interval"


@dataclass(frozen=True, slots=True)
class Change:
    """One change; ``detail`` says from what to what."""

    kind: ChangeKind
    instrument: Instrument
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Absence:
    """An asset of ours without a perpetual at a venue, and why."""

    asset: str
    symbol: str | None
    reason: str


NOT_LISTED: Final = "not listed"
_UNITS: Final = ("price_mult", "contract_size", "is_inverse")


def changes_between(
    before: Mapping[str, Instrument], now: Mapping[str, Instrument]
) -> list[Change]:
    """Changes from the active instruments before to those now, both by ``Instrument.key``."""
    gone = [one for key, one in before.items() if key not in now]
    new = [one for key, one in now.items() if key not in before]
    changes: list[Change] = []
    for old in gone:
        heir = next((one for one in new if _slot(one) == _slot(old)), None)
        if heir is None:
            changes.append(Change(ChangeKind.DELISTED, old))
            continue
        new.remove(heir)
        changes.append(Change(ChangeKind.RENAMED, heir, f"{old.symbol} to {heir.symbol}"))
        changes += _unit_changes(old, heir)
    changes += [Change(ChangeKind.LISTED, one) for one in new]
    for key, one in now.items():
        if key in before:
            changes += _unit_changes(before[key], one)
    return changes


def _slot(one: Instrument) -> tuple[str, InstrumentKind, str, int | None]:
    return one.asset, one.kind, one.quote, one.expiry_ms


def _unit_changes(old: Instrument, new: Instrument) -> list[Change]:
    units = ", ".join(
        f"{name} {_text(getattr(old, name))} to {_text(getattr(new, name))}"
        for name in _UNITS
        if getattr(old, name) != getattr(new, name)
    )
    found = [Change(ChangeKind.MULTIPLIER, new, units)] if units else []
    if old.funding_interval_h != new.funding_interval_h and old.funding_interval_h is not None:
        hours = f"{_text(old.funding_interval_h)} h to {_text(new.funding_interval_h)} h"
        found.append(Change(ChangeKind.FUNDING_INTERVAL, new, hours))
    return found


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def absences(
    listed: Iterable[Instrument], told: Iterable[Absence], assets: Collection[str]
) -> list[Absence]:
    """Assets without a perpetual among ``listed``, with the venue's own reason where it told one."""
    reasons: dict[str, Absence] = {}
    for one in told:
        reasons.setdefault(one.asset, one)
    present = {one.asset for one in listed if one.kind is InstrumentKind.PERP}
    return [
        reasons.get(asset, Absence(asset, None, NOT_LISTED))
        for asset in sorted(set(assets) - present)
    ]
