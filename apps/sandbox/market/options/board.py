"""The contracts listed on one of the venue's days, as columns.

Strikes are added as the price moves and stay until they expire: they are those around the price at each
08:00 since the expiry was listed (each Friday's for expiries that live longer than a month).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray
from apps.sandbox.market.options.terms import (
    DAY_MS,
    TERMS,
    YEAR_MS,
    AssetTerms,
    Expiry,
    board_day,
    board_start_ms,
    expiries,
    expiry_name,
    strike_name,
    strikes_around,
)
from apps.sandbox.market.protocol import MINUTE_MS, Market

BoolArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
_DAILY_LIFE_DAYS: Final = 35
_WEEK_DAYS: Final = 7
_A_FRIDAY: Final = 1
_MOST_SAMPLES: Final = 60


class Contract(NamedTuple):
    """One option. ``number`` is the same for as long as it lives, and never used again."""

    symbol: str
    asset: str
    expiry: Expiry
    strike: float
    is_call: bool
    number: int

    @property
    def terms(self) -> AssetTerms:
        return TERMS[self.asset]


@dataclass(frozen=True)
class Board:
    """Contracts by expiry, strike, call before put; columns of one length.

    ``reference``: what the price was while the expiry has been listed (a geometric mean), around which
    its open interest has gathered.
    """

    asset: str
    day: int
    contracts: tuple[Contract, ...]
    expiries: tuple[Expiry, ...]
    expiry_at: IntArray
    strike: FloatArray
    is_call: BoolArray
    number: IntArray
    reference: FloatArray

    def __len__(self) -> int:
        return len(self.contracts)

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each symbol stands."""
        return {one.symbol: at for at, one in enumerate(self.contracts)}

    @cached_property
    def expiry_ms(self) -> IntArray:
        times = np.array([one.at_ms for one in self.expiries], dtype=np.int64)
        return times[self.expiry_at]

    @cached_property
    def listed_ms(self) -> IntArray:
        times = np.array([one.listed_ms for one in self.expiries], dtype=np.int64)
        return times[self.expiry_at]


class Boards:
    """Boards of one asset by day; the latest few are kept."""

    def __init__(self, market: Market, listing: Listing) -> None:
        self._market = market
        self._listing = listing
        self._spots: dict[int, float] = {}
        self._boards: dict[int, Board] = {}

    def at(self, t_ms: int) -> Board:
        return self.of_day(board_day(t_ms))

    def of_day(self, day: int) -> Board:
        found = self._boards.get(day)
        if found is None:
            if len(self._boards) > 8:
                self._boards.clear()
            found = self._boards[day] = self._make(day)
        return found

    def _spot(self, day: int) -> float:
        """The index price at a day's beginning (08:00)."""
        found = self._spots.get(day)
        if found is None:
            if len(self._spots) > 2_000:
                self._spots.clear()
            minute = np.array([board_start_ms(day) // MINUTE_MS], dtype=np.int64)
            found = float(self._market.index_path(self._listing, minute)[0])
            self._spots[day] = found
        return found

    def _samples(self, expiry: Expiry, day: int) -> list[float]:
        listed = board_day(expiry.listed_ms)
        days = range(listed, min(day, board_day(expiry.at_ms) - 1) + 1)
        if (expiry.at_ms - expiry.listed_ms) // DAY_MS > _DAILY_LIFE_DAYS:
            days_kept = [one for one in days if one % _WEEK_DAYS == _A_FRIDAY or one == listed]
            return [self._spot(one) for one in days_kept[:_MOST_SAMPLES]]
        return [self._spot(one) for one in days]

    def _make(self, day: int) -> Board:
        asset = self._listing.asset
        listed = expiries(asset, day)
        contracts: list[Contract] = []
        expiry_at: list[int] = []
        reference: list[float] = []
        for at, expiry in enumerate(listed):
            samples = self._samples(expiry, day)
            middle = float(np.exp(np.mean(np.log(samples))))
            own = _contracts(asset, expiry, samples)
            contracts += own
            expiry_at += [at] * len(own)
            reference += [middle] * len(own)
        return Board(
            asset,
            day,
            tuple(contracts),
            listed,
            np.array(expiry_at, dtype=np.int64),
            np.array([one.strike for one in contracts]),
            np.array([one.is_call for one in contracts]),
            np.array([one.number for one in contracts], dtype=np.int64),
            np.array(reference),
        )


def _contracts(asset: str, expiry: Expiry, samples: list[float]) -> list[Contract]:
    life = (expiry.at_ms - expiry.listed_ms) / YEAR_MS
    strikes: set[float] = set()
    for spot in samples:
        strikes |= strikes_around(asset, spot, life)
    return [
        contract_of(asset, expiry, strike, is_call)
        for strike in sorted(strikes)
        for is_call in (True, False)
    ]


def contract_of(asset: str, expiry: Expiry, strike: float, is_call: bool) -> Contract:
    name = (
        f"{TERMS[asset].prefix}-{expiry_name(expiry.at_ms)}-"
        f"{strike_name(strike)}-{'C' if is_call else 'P'}"
    )
    digest = hashlib.blake2b(name.encode(), digest_size=6).digest()
    return Contract(name, asset, expiry, strike, is_call, int.from_bytes(digest, "big"))
