"""A small options listing: three expiries and nine strikes per asset on an almost flat smile.

It has prices, volatilities and open interest that agree with each other (Black-76 on the index, no
interest), and no trades: the options market proper is not modelled here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.noise import key_of, uniform, value_noise

_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_YEAR_MS: Final = 365.0 * _DAY_MS
_MONTHS: Final = [
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
]
_LEVEL: Final = {"BTC": 0.44, "ETH": 0.66, "SOL": 0.78, "XRP": 0.84}
_STRIKE_STEP: Final = {"BTC": 5_000.0, "ETH": 200.0, "SOL": 10.0, "XRP": 0.125}
_TICK: Final = {"BTC": 0.0001, "ETH": 0.0001, "SOL": 0.01, "XRP": 0.0001}
_SIZE: Final = {"BTC": (1.0, 0.1), "ETH": (1.0, 1.0), "SOL": (10.0, 10.0), "XRP": (1000.0, 1000.0)}
_STRIKES_EACH_WAY: Final = 4
_SKEW, _SMILE = -0.04, 0.12


@dataclass(frozen=True, slots=True)
class OptionListing:
    symbol: str
    asset: str
    expiry_ms: int
    strike: float
    is_call: bool

    @property
    def is_inverse(self) -> bool:
        return self.asset in ("BTC", "ETH")

    @property
    def currency(self) -> str:
        return self.asset if self.is_inverse else "USDC"

    @property
    def tick(self) -> float:
        return _TICK[self.asset]

    @property
    def contract_size(self) -> float:
        return _SIZE[self.asset][0]

    @property
    def min_amount(self) -> float:
        return _SIZE[self.asset][1]


@dataclass(frozen=True, slots=True)
class OptionState:
    """Price in coins (inverse) or USDC, volatility as a fraction, greeks in USD per coin."""

    mark_price: float
    iv: float
    delta: float
    gamma: float
    vega: float
    theta: float


def volatility_level(seed_name: str, asset: str, t_ms: int) -> float:
    """At-the-money volatility, which is also what DVOL shows; a slow wave around the asset's level."""
    noise = value_noise(key_of(0, "dvol", seed_name, asset), np.array([t_ms / 1000.0]), 200_000.0)
    return _LEVEL[asset] * (1.0 + 0.06 * float(noise[0]))


@cache
def _expiries(day: int) -> tuple[int, ...]:
    """08:00 UTC: tomorrow, the Friday after, and the last Friday of the quarter after that."""
    now = day * _DAY_MS
    first = now + _DAY_MS + 8 * _HOUR_MS
    # The epoch was a Thursday.
    weekday = (first // _DAY_MS + 3) % 7
    second = first + ((4 - weekday) % 7 or 7) * _DAY_MS
    third = second + 7 * _DAY_MS
    while not _is_quarter_end(third):
        third += 7 * _DAY_MS
    return first, second, third


def _is_quarter_end(at_ms: int) -> bool:
    month = int(str(np.datetime64(at_ms, "ms").astype("datetime64[M]"))[5:])
    following = int(str(np.datetime64(at_ms + 7 * _DAY_MS, "ms").astype("datetime64[M]"))[5:])
    return month % 3 == 0 and following != month


def expiry_name(at_ms: int) -> str:
    """``25DEC26``."""
    year, month, day = str(np.datetime64(at_ms, "ms").astype("datetime64[D]")).split("-")
    return f"{int(day)}{_MONTHS[int(month) - 1]}{year[2:]}"


def option_listings(assets: tuple[str, ...], now_ms: int) -> tuple[OptionListing, ...]:
    """What is listed today; changes at midnight UTC."""
    return _listed(assets, now_ms // _DAY_MS)


@cache
def _listed(assets: tuple[str, ...], day: int) -> tuple[OptionListing, ...]:
    return tuple(
        OptionListing(
            f"{asset if asset in ('BTC', 'ETH') else asset + '_USDC'}-{expiry_name(expiry)}-"
            f"{_strike_name(strike)}-{'C' if is_call else 'P'}",
            asset,
            expiry,
            strike,
            is_call,
        )
        for asset in assets
        if asset in _LEVEL
        for expiry in _expiries(day)
        for strike in _strikes(asset)
        for is_call in (True, False)
    )


def _strikes(asset: str) -> list[float]:
    step = _STRIKE_STEP[asset]
    middle = round(ASSET_MODELS[asset].price / step)
    around = range(middle - _STRIKES_EACH_WAY, middle + _STRIKES_EACH_WAY + 1)
    return [round(number * step, 6) for number in around if number > 0]


def _strike_name(strike: float) -> str:
    return f"{strike:.10g}".replace(".", "d")


def option_state(
    option: OptionListing, underlying: float, level: float, now_ms: int
) -> OptionState:
    """Black-76 without interest."""
    years = max(option.expiry_ms - now_ms, 60_000) / _YEAR_MS
    moneyness = math.log(option.strike / underlying)
    bend = min(moneyness**2 / max(years, 0.02), 4.0)
    iv = max(level * (1.0 + _SKEW * moneyness + _SMILE * bend), 0.05)
    spread = iv * math.sqrt(years)
    d1 = -moneyness / spread + spread / 2.0
    d2 = d1 - spread
    density = math.exp(-d1 * d1 / 2.0) / math.sqrt(2.0 * math.pi)
    sign = 1.0 if option.is_call else -1.0
    value = sign * (underlying * _normal(sign * d1) - option.strike * _normal(sign * d2))
    price = max(value, 0.0) / (underlying if option.is_inverse else 1.0)
    return OptionState(
        mark_price=round(price, 6),
        iv=iv,
        delta=sign * _normal(sign * d1),
        gamma=density / (underlying * spread),
        vega=underlying * density * math.sqrt(years) / 100.0,
        theta=-underlying * density * iv / (2.0 * math.sqrt(years)) / 365.0,
    )


def open_interest(option: OptionListing) -> float:
    """In coins, constant over an option's life."""
    draw = uniform(key_of(0, "option oi", option.symbol), 0)
    base = 4e7 / ASSET_MODELS[option.asset].price
    return round(base * draw**3 / option.min_amount) * option.min_amount


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
