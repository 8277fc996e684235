"""Trades of options: an hour of one asset at a time, every one of them at once.

A minute's trades are drawn from the minute's own numbers, so that they stay what they were whatever
happens later. Some come as combinations (two legs), some as blocks, a few close a liquidated position.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from apps.sandbox.market.noise import FloatArray, IntArray, floats, uniforms
from apps.sandbox.market.options import black
from apps.sandbox.market.options.board import Board, BoolArray
from apps.sandbox.market.options.chain import half_spread, on_tick, years_left
from apps.sandbox.market.options.surface import Surface
from apps.sandbox.market.options.terms import TERMS, YEAR_MS, AssetTerms
from apps.sandbox.market.protocol import MINUTE_MS

HOUR_MINUTES: Final = 60
MOST_PER_MINUTE: Final = 48
_DRAWS: Final = 8
_IDS_PER_MINUTE: Final = 256
FIRST_ID: Final = 500_000_000_000
"""Above every number that a future's trade can have: ids are unique within a currency."""
_COMBO, _BLOCK, _LIQUIDATED = 0.05, 0.062, 0.066
_BLOCK_COMBOS: Final = 0.2
_BUYERS: Final = 0.52


@dataclass(frozen=True)
class Prints:
    """Columns in the order of time. ``price`` and ``mark`` are premiums, ``iv`` a fraction (NaN where the
    price implies none). ``combo``: the combination's own print that a leg belongs to, 0 for none;
    ``partner``: where the other leg's contract stands. ``block``: the block trade's number, 0 for none."""

    contract: IntArray
    time_ms: IntArray
    trade_id: IntArray
    amount: FloatArray
    is_buy: BoolArray
    price: FloatArray
    mark: FloatArray
    iv: FloatArray
    index: FloatArray
    combo: IntArray
    partner: IntArray
    block: IntArray
    is_liquidation: BoolArray

    def __len__(self) -> int:
        return len(self.time_ms)

    def part(self, chosen: slice | IntArray | BoolArray) -> Prints:
        return Prints(*(getattr(self, one.name)[chosen] for one in fields(self)))


@dataclass(frozen=True, slots=True)
class Moments:
    """What holds at the start of each minute of an hour."""

    minutes: IntArray
    index: FloatArray
    surface: Surface
    rate: FloatArray
    """Trades to expect in the minute."""


def activity(board: Board, weights: FloatArray, spot: float, t_ms: int) -> FloatArray:
    """How likely each contract is to be what is traded next, summed up: ends at 1."""
    terms = TERMS[board.asset]
    left = np.maximum(board.expiry_ms - t_ms, MINUTE_MS) / YEAR_MS
    z = np.log(board.strike / spot) / (terms.level * np.sqrt(left))
    z = np.where(board.is_call, z, -z)
    interest = np.sqrt(weights) * np.exp(-0.5 * ((z - 0.5) / 0.9) ** 2) / np.sqrt(left + 0.01)
    total = np.cumsum(interest + 1e-12)
    return floats(total / total[-1])


def _arrivals(key: int, moments: Moments) -> tuple[IntArray, IntArray]:
    """(minute's place in the hour, number within the minute) of every trade. They come in clusters."""
    draw = uniforms(key, moments.minutes)
    counts = np.minimum(np.floor(-np.log(draw) * moments.rate), MOST_PER_MINUTE).astype(np.int64)
    place = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place, within


def _partners(board: Board, contract: IntArray, draw: FloatArray) -> IntArray:
    """The other leg: the same strike's other side, or the same side two strikes on; itself where the
    expiry ends there."""
    to_straddle = np.where(board.is_call[contract], contract + 1, contract - 1)
    further = np.where(board.is_call[contract], contract + 4, contract - 4)
    inside = (further >= 0) & (further < len(board))
    safe = np.where(inside, further, contract)
    same = inside & (board.expiry_at[safe] == board.expiry_at[contract])
    return np.where(draw < 0.25, to_straddle, np.where(same, safe, to_straddle))


def _amounts(terms: AssetTerms, draw: FloatArray, is_block: BoolArray) -> FloatArray:
    """Mostly small, a few large; blocks from their least size on."""
    lots = np.minimum(np.ceil(2.0 * draw**-0.8), 4_000.0)
    blocks = np.ceil(terms.block_amount / terms.min_amount * draw**-0.5)
    coins = np.where(is_block, np.minimum(blocks, 2_000.0 * 50), lots) * terms.min_amount
    return floats(np.round(coins, 6))


def make_prints(
    key: int, board: Board, cumulative: FloatArray, moments: Moments, forward: FloatArray
) -> Prints:
    """``forward``: of each expiry (columns) at each minute (rows)."""
    terms = TERMS[board.asset]
    place, within = _arrivals(key, moments)
    slot = moments.minutes[place] * MOST_PER_MINUTE * _DRAWS + within * _DRAWS
    draws = [uniforms(key ^ 0x7E57, slot + number) for number in range(_DRAWS)]
    contract = np.minimum(np.searchsorted(cumulative, draws[0]), len(board) - 1).astype(np.int64)
    kind = draws[4]
    is_combo = kind < _COMBO
    is_block = ((kind >= _COMBO) & (kind < _BLOCK)) | (is_combo & (draws[5] < _BLOCK_COMBOS))
    first_id = FIRST_ID + moments.minutes[place] * _IDS_PER_MINUTE + within * 4
    time_ms = moments.minutes[place] * MINUTE_MS + np.floor(draws[3] * MINUTE_MS).astype(np.int64)
    partner = _partners(board, contract, draws[6])
    is_buy = draws[1] < _BUYERS
    # Second legs are taken the other way, unless the two are a straddle.
    same_way = board.is_call[partner] != board.is_call[contract]
    legs = np.flatnonzero(is_combo)
    rows = np.concatenate([np.arange(len(contract)), legs])
    is_second = np.arange(len(rows)) >= len(contract)
    own = np.where(is_second, partner[rows], contract[rows])
    way = np.where(is_second & ~same_way[rows], ~is_buy[rows], is_buy[rows])
    amount = _amounts(terms, draws[2], is_block)[rows]
    at = place[rows]
    prices = _prices(terms, board, own, way, is_block[rows], moments, forward, at)
    order = np.argsort(time_ms[rows] * 2 + is_second, kind="stable")
    return Prints(
        contract=own,
        time_ms=time_ms[rows],
        trade_id=first_id[rows] + is_second,
        amount=amount,
        is_buy=way,
        price=prices[0],
        mark=prices[1],
        iv=prices[2],
        index=moments.index[at],
        combo=np.where(is_combo, first_id + 2, 0)[rows],
        partner=np.where(is_second, contract[rows], partner[rows]),
        block=np.where(is_block, first_id + 3, 0)[rows],
        is_liquidation=((kind >= _BLOCK) & (kind < _LIQUIDATED))[rows],
    ).part(order)


def _prices(
    terms: AssetTerms,
    board: Board,
    contract: IntArray,
    is_buy: BoolArray,
    is_block: BoolArray,
    moments: Moments,
    forward: FloatArray,
    at: IntArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(price, mark, implied volatility) at the minute's start: takers pay the spread, blocks half of it."""
    expiry, strike = board.expiry_at[contract], board.strike[contract]
    is_call = board.is_call[contract]
    own_forward = forward[at, expiry]
    t_ms = floats(moments.minutes[at] * MINUTE_MS)
    years = years_left(floats(board.expiry_ms[contract] - t_ms), 0)
    sigma = moments.surface.at(at).volatility(floats(np.log(strike / own_forward)), years)
    room = half_spread(terms, own_forward, strike, years, sigma) * np.where(is_block, 0.3, 1.0)
    unit = own_forward if terms.is_inverse else np.ones_like(own_forward)
    paid = floats(np.maximum(sigma + np.where(is_buy, room, -room), 0.01))
    asked = black.price(own_forward, strike, years, paid, is_call) / unit
    price = np.where(
        is_buy,
        on_tick(terms, floats(asked), up=True),
        np.maximum(on_tick(terms, floats(asked), up=False), terms.tick),
    )
    mark = black.price(own_forward, strike, years, sigma, is_call) / unit
    iv = black.implied_volatility(floats(price * unit), own_forward, strike, years, is_call)
    return floats(price), floats(mark), iv


@dataclass(frozen=True)
class DayFigures:
    """Of each contract on the board, over 24 hours; NaN where nothing traded."""

    volume: FloatArray
    premium_usd: FloatArray
    high: FloatArray
    low: FloatArray
    last: FloatArray
    change_percent: FloatArray


def day_figures(
    parts: list[Prints], board_sizes: list[IntArray], size: int, is_inverse: bool
) -> DayFigures:
    """``board_sizes`` say for each part where today's board has its contracts (-1: no more)."""
    contract = np.concatenate(
        [places[part.contract] for part, places in zip(parts, board_sizes, strict=True)]
    )
    kept = contract >= 0
    whole = {
        name: np.concatenate([getattr(part, name) for part in parts])[kept]
        for name in ("price", "amount", "index")
    }
    contract, price = contract[kept], whole["price"]
    usd = price * whole["amount"] * (whole["index"] if is_inverse else 1.0)
    high, low = np.full(size, -np.inf), np.full(size, np.inf)
    np.maximum.at(high, contract, price)
    np.minimum.at(low, contract, price)
    first, last = np.full(size, np.nan), np.full(size, np.nan)
    last[contract] = price
    first[contract[::-1]] = price[::-1]
    return DayFigures(
        floats(np.bincount(contract, whole["amount"], size)),
        floats(np.bincount(contract, usd, size)),
        np.where(np.isfinite(high), high, np.nan),
        np.where(np.isfinite(low), low, np.nan),
        last,
        floats((last / first - 1.0) * 100.0),
    )
