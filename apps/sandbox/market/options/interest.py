"""Open interest of options: most at round strikes, in the great expiries and in what is about to expire."""

from __future__ import annotations

from typing import Final

import numpy as np

from apps.sandbox.market.noise import FloatArray, IntArray, floats, normals
from apps.sandbox.market.options.board import Board
from apps.sandbox.market.options.effects import Effects
from apps.sandbox.market.options.terms import TERMS, YEAR_MS

_FAMILY_WEIGHT: Final = {"day": 0.25, "week": 0.7, "month": 1.5}
_QUARTER_LIFE_YEARS: Final = 0.5
_QUARTER_WEIGHT: Final = 3.0
_NEAR_YEARS: Final = 0.25
# What of the calls and of the puts lies where, in standard deviations of the contract's whole life.
_CALL_PLACE, _PUT_PLACE, _SPREAD = 0.55, -0.45, 0.85
_CALL_SHARE: Final = 0.58
_ROUNDNESS: Final = (4.0, 2.0, 1.0, 0.7)
"""By how many significant digits a strike has: 1, 2, 3, more."""
_SLOW_S, _QUICK_S = 3 * 86_400.0, 6 * 3_600.0
_PIN_REACH, _FLIP_REACH = 0.012, 0.12


def roundness(strike: FloatArray) -> FloatArray:
    power = 10.0 ** np.floor(np.log10(strike) + 1e-12)
    lead = strike / power
    weights = np.full_like(lead, _ROUNDNESS[3])
    for digits in (3, 2, 1):
        is_round = np.abs(np.round(lead, digits - 1) - lead) < 1e-9
        weights = np.where(is_round, _ROUNDNESS[digits - 1], weights)
    return floats(weights)


def contract_noise(key: int, numbers: IntArray, t_s: float, period_s: float) -> FloatArray:
    """Smooth in time, independent between contracts."""
    knot, part = divmod(t_s / period_s, 1.0)
    ease = part * part * (3.0 - 2.0 * part)
    first = normals(key, numbers * 100_003 + int(knot))
    second = normals(key, numbers * 100_003 + int(knot) + 1)
    return floats(first * (1.0 - ease) + second * ease)


def static_weights(key: int, board: Board) -> FloatArray:
    """What does not change during the venue's day; sums to 1."""
    terms = TERMS[board.asset]
    life = (board.expiry_ms - board.listed_ms) / YEAR_MS
    family = np.array([_FAMILY_WEIGHT[one.period] for one in board.expiries])[board.expiry_at]
    family = np.where(life > _QUARTER_LIFE_YEARS, _QUARTER_WEIGHT, family)
    spread = terms.level * np.sqrt(np.maximum(life, 3.0 / 365.0))
    z = np.log(board.strike / board.reference) / spread
    place = np.where(board.is_call, _CALL_PLACE, _PUT_PLACE)
    share = np.where(board.is_call, _CALL_SHARE, 1.0 - _CALL_SHARE)
    bump = np.exp(-0.5 * ((z - place) / _SPREAD) ** 2) + 0.01
    luck = np.exp(0.7 * normals(key, board.number))
    per_strike = np.bincount(board.expiry_at).astype(np.float64)[board.expiry_at]
    weights = family * share * bump * roundness(board.strike) * luck / per_strike
    return floats(weights / weights.sum())


def open_interest(
    key: int, board: Board, weights: FloatArray, spot: float, t_ms: int, effects: Effects
) -> FloatArray:
    """In coins, whole lots. Interest grows over an expiry's life and gathers in what ends soon."""
    terms = TERMS[board.asset]
    left = np.maximum(board.expiry_ms - t_ms, 0) / YEAR_MS
    age = np.clip((t_ms - board.listed_ms) / (board.expiry_ms - board.listed_ms), 0.0, 1.0)
    growth = 0.1 + 0.9 * np.sqrt(age)
    near = 0.35 + np.exp(-left / _NEAR_YEARS)
    t_s = t_ms / 1000.0
    swing = 0.15 * contract_noise(key ^ 0xA1, board.number, t_s, _SLOW_S)
    swing += 0.05 * contract_noise(key ^ 0xA2, board.number, t_s, _QUICK_S)
    coins = terms.open_interest * weights * growth * near * np.exp(swing)
    coins *= _gathering(board, spot, float(effects.pin[0]), float(effects.flip[0]))
    return floats(np.round(coins / terms.min_amount) * terms.min_amount)


def _gathering(board: Board, spot: float, pin: float, flip: float) -> FloatArray:
    """Scenarios: interest at the money of the next expiry, or in puts around the price."""
    factor = np.ones(len(board))
    distance = np.abs(np.log(board.strike / spot))
    if pin > 0.0:
        factor *= 1.0 + 6.0 * pin * ((board.expiry_at == 0) & (distance < _PIN_REACH))
    if flip > 0.0:
        near = np.exp(-((distance / _FLIP_REACH) ** 2))
        factor *= np.where(board.is_call, 1.0 / (1.0 + 1.5 * flip * near), 1.0 + 3.0 * flip * near)
    return floats(factor)
