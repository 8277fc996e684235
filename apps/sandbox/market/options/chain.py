"""All options of an asset at one moment: forwards, volatilities, prices, greeks, quotes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from apps.sandbox.market.noise import FloatArray, floats, uniforms
from apps.sandbox.market.options import black
from apps.sandbox.market.options.board import Board
from apps.sandbox.market.options.surface import Surface
from apps.sandbox.market.options.terms import TERMS, YEAR_MS, AssetTerms

_LEAST_YEARS: Final = 60_000 / YEAR_MS
"""The last minute's options are priced as if a minute were left."""
_QUOTE_KEEPS_S: Final = 2
_DEEP: Final = 0.75
"""Beyond this delta market makers ask for much more room."""


def years_left(expiry_ms: FloatArray, t_ms: int) -> FloatArray:
    return floats(np.maximum((expiry_ms - t_ms) / YEAR_MS, _LEAST_YEARS))


def tick_of(terms: AssetTerms, price: FloatArray) -> FloatArray:
    """The step of prices at a price."""
    out = np.full_like(price, terms.ticks[0][0])
    for tick, above in terms.ticks[1:]:
        out = np.where(price > above, tick, out)
    return floats(out)


def on_tick(terms: AssetTerms, price: FloatArray, *, up: bool) -> FloatArray:
    tick = tick_of(terms, price)
    whole = np.ceil(price / tick - 1e-9) if up else np.floor(price / tick + 1e-9)
    return floats(np.round(whole * tick, terms.price_decimals))


def half_spread(
    terms: AssetTerms, forward: FloatArray, strike: FloatArray, years: FloatArray, sigma: FloatArray
) -> FloatArray:
    """Half of what separates bid and ask, in volatility: least at the money, more for little time."""
    z = np.log(strike / forward) / (sigma * np.sqrt(years))
    wide = 1.0 if terms.is_inverse else 2.5
    return floats(wide * sigma * (0.009 + 0.004 * z * z + 0.008 / np.sqrt(years * 365.0 + 0.25)))


def deep_room(delta: FloatArray, forward: FloatArray, sigma_root: FloatArray) -> FloatArray:
    """What the spread of options deep in the money has on top, USD a side."""
    depth = np.clip((np.abs(delta) - _DEEP) / (1.0 - _DEEP), 0.0, 1.0)
    return floats(0.2 * forward * depth * depth * np.minimum(sigma_root, 0.2))


def quotes(
    terms: AssetTerms,
    forward: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    sigma: FloatArray,
    is_call: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> tuple[FloatArray, FloatArray]:
    """(bid, ask) on ticks, in the currency of premiums; a bid of 0 is none."""
    room = half_spread(terms, forward, strike, years, sigma)
    deep = deep_room(
        black.greeks(forward, strike, years, sigma, is_call).delta, forward, sigma * np.sqrt(years)
    )
    unit = forward if terms.is_inverse else np.ones_like(forward)
    low = black.price(forward, strike, years, np.maximum(sigma - room, 0.01), is_call) - deep
    high = black.price(forward, strike, years, sigma + room, is_call) + deep
    bid = on_tick(terms, np.maximum(low, 0.0) / unit, up=False)
    ask = on_tick(terms, high / unit, up=True)
    return bid, floats(np.maximum(ask, np.round(bid + tick_of(terms, bid), terms.price_decimals)))


@dataclass(frozen=True)
class Chain:
    """Columns in the order of the board. ``index`` is the price of the coin, ``forward`` each expiry's;
    premiums are in coins (inverse) or USDC."""

    board: Board
    t_ms: int
    index: float
    forward_of: FloatArray
    surface: Surface
    key: int

    @property
    def terms(self) -> AssetTerms:
        return TERMS[self.board.asset]

    @cached_property
    def forward(self) -> FloatArray:
        return self.forward_of[self.board.expiry_at]

    @cached_property
    def years(self) -> FloatArray:
        return years_left(floats(self.board.expiry_ms), self.t_ms)

    @cached_property
    def sigma(self) -> FloatArray:
        k = floats(np.log(self.board.strike / self.forward))
        return self.surface.volatility(k, self.years)

    @cached_property
    def value(self) -> FloatArray:
        """Of a coin's worth of the option, USD."""
        board = self.board
        return black.price(self.forward, board.strike, self.years, self.sigma, board.is_call)

    @cached_property
    def mark(self) -> FloatArray:
        return floats(self.value / self.forward) if self.terms.is_inverse else self.value

    @cached_property
    def greeks(self) -> black.Greeks:
        board = self.board
        return black.greeks(self.forward, board.strike, self.years, self.sigma, board.is_call)

    @cached_property
    def _quotes(self) -> tuple[FloatArray, FloatArray]:
        board = self.board
        return quotes(self.terms, self.forward, board.strike, self.years, self.sigma, board.is_call)

    @property
    def bid(self) -> FloatArray:
        return self._quotes[0]

    @property
    def ask(self) -> FloatArray:
        return self._quotes[1]

    @cached_property
    def sizes(self) -> tuple[FloatArray, FloatArray]:
        """Coins at the best bid and ask."""
        terms, board = self.terms, self.board
        moment = self.t_ms // (1_000 * _QUOTE_KEEPS_S)
        out = []
        for side in (1, 2):
            draw = uniforms(self.key ^ side, board.number * 1_000_003 + moment)
            lots = np.ceil(
                8.0 * draw**-0.6 * np.maximum(terms.block_amount / terms.min_amount, 1) / 250
            )
            out.append(floats(np.round(lots * terms.min_amount, 6)))
        return out[0], out[1]

    def quote_volatility(self, at: int, price: float) -> float | None:
        """What a premium of one contract implies; None where it is worth no more than its exercise."""
        one = np.array([at])
        value = np.array([price]) * (self.forward[one] if self.terms.is_inverse else 1.0)
        sigma = black.implied_volatility(
            value,
            self.forward[one],
            self.board.strike[one],
            self.years[one],
            self.board.is_call[one],
        )
        return None if np.isnan(sigma[0]) else float(sigma[0])
