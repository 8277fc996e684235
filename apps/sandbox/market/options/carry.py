"""Forward prices of expiries: the index, and what holding a future to the expiry earns.

Where the venue lists dated futures, theirs is the basis: at their deliveries exactly, between them evenly in
time. Coins without any have a basis of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, floats, fractal_noise, key_of
from apps.sandbox.market.options.terms import DAY_MS, YEAR_MS
from apps.sandbox.market.protocol import MINUTE_MS, Market

_DAY_S: Final = 86_400.0
_PERIODS: Final = (0.5 * _DAY_S, 4 * _DAY_S, 25 * _DAY_S)
_SWINGS: Final = (0.004, 0.012, 0.022)
_MEAN: Final = 0.055
PRICE_DECIMALS: Final = 6
_KEPT: Final = 64


class Carry:
    """One asset's basis at the start of each minute, as decimals a year."""

    def __init__(self, seed: int, market: Market, asset: str, futures: Sequence[Listing]) -> None:
        self._market = market
        self._futures = sorted(
            (
                (one.expiry_ms, one)
                for one in futures
                if one.expiry_ms is not None and one.asset == asset
            ),
            key=lambda pair: pair[0],
        )
        self._key = key_of(seed, "option carry", asset)
        self._known: dict[tuple[int, tuple[int, ...]], FloatArray] = {}

    def forwards(self, index: float, expiry_ms: Sequence[int], t_ms: int) -> FloatArray:
        """Of each expiry, at a moment whose index price is known."""
        minute = t_ms // MINUTE_MS
        slot = (minute, tuple(expiry_ms))
        rate = self._known.get(slot)
        if rate is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            minutes = np.array([minute], dtype=np.int64)
            rate = self._known[slot] = self._rates(minutes, expiry_ms)[0]
        found = _forwards(floats([[index]]), rate[None, :], expiry_ms, floats([[t_ms]]))
        return floats(found[0])

    def forward_path(
        self, index: FloatArray, expiry_ms: Sequence[int], minutes: IntArray
    ) -> FloatArray:
        """A row for each minute, a column for each expiry."""
        rates = self._rates(minutes, expiry_ms)
        return _forwards(index[:, None], rates, expiry_ms, floats(minutes[:, None] * MINUTE_MS))

    def _rates(self, minutes: IntArray, expiry_ms: Sequence[int]) -> FloatArray:
        t_ms = floats(minutes * MINUTE_MS)
        listed = [pair for pair in self._futures if pair[0] - t_ms[-1] > DAY_MS]
        if not listed:
            rate = _MEAN + fractal_noise(self._key, floats(t_ms / 1000.0), _PERIODS, _SWINGS)
            return floats(np.broadcast_to(rate[:, None], (len(minutes), len(expiry_ms))))
        ends = floats([end for end, _ in listed])
        rates = np.array(
            [
                self._market.premium_path(one, minutes) / ((end - t_ms) / YEAR_MS)
                for end, one in listed
            ]
        )
        wanted = floats(expiry_ms)
        return floats([np.interp(wanted, ends, rates[:, at]) for at in range(len(minutes))])


def _forwards(
    index: FloatArray, rate: FloatArray, expiry_ms: Sequence[int], t_ms: FloatArray
) -> FloatArray:
    """What expires within a day is priced on the index itself."""
    left = floats(expiry_ms)[None, :] - t_ms
    premium = np.where(left <= DAY_MS, 0.0, rate * left / YEAR_MS)
    return floats(np.round(index * (1.0 + premium), PRICE_DECIMALS))
