"""Funding from the premium, by each venue's formula, so that the settled rate is the last prediction.

Binance, Bybit, OKX and Hyperliquid: ``P + clamp(interest − P, ±0.05 %)`` per 8 h, with P the mean premium
of the interval and interest 0.01 %; the interval's part of it is paid. Deribit pays continuously what the
premium has beyond ±0.025 % and knows no interest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.sandbox.market.noise import FloatArray, IntArray, floats

HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class FundingRule:
    """``clamp`` around interest, or ``dead_zone`` within which nothing is paid; decimals per 8 h.

    ``cap`` bounds the rate of an interval; ``decimals`` are those that the venue publishes.
    """

    interest: float = 1e-4
    clamp: float = 5e-4
    dead_zone: float | None = None
    cap: float = 0.02
    decimals: int = 8

    def rate(self, mean_premium: FloatArray, interval_h: int) -> FloatArray:
        """Rate per interval."""
        if self.dead_zone is None:
            room = np.clip(self.interest - mean_premium, -self.clamp, self.clamp)
            per_8h = mean_premium + room
        else:
            beyond = np.maximum(np.abs(mean_premium) - self.dead_zone, 0.0)
            per_8h = np.sign(mean_premium) * beyond
        return floats(
            np.round(np.clip(per_8h * interval_h / 8.0, -self.cap, self.cap), self.decimals)
        )


USUAL: Final = FundingRule()
_RULES: Final = {
    "deribit": FundingRule(dead_zone=2.5e-4, cap=5e-3, decimals=10),
    "hyperliquid": FundingRule(cap=0.04, decimals=10),
}


def rule_of(venue: str) -> FundingRule:
    return _RULES.get(venue, USUAL)


def settlement_grid(start_ms: int, end_ms: int, interval_h: int) -> IntArray:
    """Settlement times t with start ≤ t ≤ end."""
    interval_ms = interval_h * HOUR_MS
    first = -(-start_ms // interval_ms)
    return np.arange(first, end_ms // interval_ms + 1, dtype=np.int64) * interval_ms
