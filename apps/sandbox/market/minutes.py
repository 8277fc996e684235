"""What happens inside a minute of a listing: trades, touch and books, kept for the minutes in use."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from apps.sandbox.market.asset_days import AssetDay, AssetPaths
from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.cache import Cache
from apps.sandbox.market.depth import BookMaker
from apps.sandbox.market.fading import fading
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.minute_path import STEP_MS, AssetMinute, asset_minute, venue_ticks
from apps.sandbox.market.minute_trades import MinutePlan, make_tape
from apps.sandbox.market.noise import FloatArray, floats, key_of
from apps.sandbox.market.protocol import DAY_MINUTES, MINUTE_MS, Book, ForcedOrder, Tape, Touch
from apps.sandbox.market.resting import Depths, Spoof, grid_of, spoof_of
from apps.sandbox.market.traits import lag_ms
from apps.sandbox.market.venue_days import VenueDay

# Two minutes of trades and the next one for each listing, and room for questions about the past.
_EACH: Final = 3
_SPARE: Final = 300
_MINUTE: Final = 1.0 / math.sqrt(DAY_MINUTES)
_DEPTH_MINUTES: Final = 3
_LEAN: Final = 1.1
"""How much deeper the side is that takers were on in the minute before."""
_SWEPT: Final = 0.35
_REFILL: Final = 0.75
"""Share of a sweep still felt a second later."""
VenueDays: TypeAlias = Callable[[Listing, int], VenueDay]


class _Resting(NamedTuple):
    """What only books need; ``left``: of the best bid and ask after recent trades, by second."""

    depths: Depths
    left: tuple[list[float], list[float]]
    spoof: Spoof | None


@dataclass(slots=True)
class Minute:
    """``middle``: mid price in ticks at steps of 200 ms."""

    tape: Tape
    forced: list[int]
    middle: array[float]
    spread: int
    resting: _Resting | None = None

    def touch(self, part_ms: int) -> Touch:
        at, rest = divmod(part_ms, STEP_MS)
        here = self.middle[at]
        mid = here + (self.middle[at + 1] - here) * (rest / STEP_MS)
        bid = max(math.floor(mid - 0.5 * self.spread + 0.5), 1)
        return Touch(bid, bid + self.spread)

    def forced_orders(self) -> list[ForcedOrder]:
        tape = self.tape
        return [
            ForcedOrder(
                int(tape.time_ms[at]),
                bool(tape.is_buy[at]),
                int(tape.price[at]),
                int(tape.lots[at]),
            )
            for at in self.forced
        ]


class Minutes:
    def __init__(self, seed: int, paths: AssetPaths, venue_day: VenueDays, listings: int) -> None:
        self._seed = seed
        self._paths = paths
        self._venue_day = venue_day
        self._minutes: Cache[tuple[str, int], Minute] = Cache(_EACH * listings + _SPARE)
        self._shared: Cache[tuple[str, int], AssetMinute] = Cache(_EACH * 65 + _SPARE)
        self._makers: dict[str, BookMaker] = {}
        self._keys: dict[str, int] = {}

    def forget(self, names: frozenset[str], first: int) -> None:
        self._minutes.forget(lambda key: key[1] >= first and key[0] in names)
        self._shared.forget(lambda key: key[1] >= first)

    def _key(self, name: str) -> int:
        found = self._keys.get(name)
        if found is None:
            found = self._keys[name] = key_of(self._seed, "flow", name)
        return found

    def at(self, listing: Listing, minute: int) -> Minute:
        return self._minutes.get((listing.name, minute), lambda _key: self._make(listing, minute))

    def _make(self, listing: Listing, minute: int) -> Minute:
        day, at = divmod(minute, DAY_MINUTES)
        asset = self._paths.day(listing.asset, day)
        shared = self._shared.get(
            (listing.asset, minute),
            lambda _key: asset_minute(self._key(listing.asset), minute, asset),
        )
        bars = self._venue_day(listing, day)
        plan = MinutePlan(
            minute,
            bars.first_id + int(bars.before[at]),
            int(bars.edge[at]),
            int(bars.high[at]),
            int(bars.low[at]),
            int(bars.edge[at + 1]),
            int(bars.volume[at]),
            int(bars.buy_volume[at]),
            int(bars.longs[at]),
            int(bars.shorts[at]),
            int(bars.before[at + 1] - bars.before[at]),
        )
        ends = (plan.open, plan.close)
        middle = venue_ticks(shared, lag_ms(listing), ends, plan.low, plan.high)
        spread = _spread(listing, asset, at)
        tape, forced = make_tape(
            self._key(listing.name), plan, middle, spread, (shared.highest, shared.lowest)
        )
        return Minute(tape, forced, array("d", middle.tobytes()), spread)

    def book(self, listing: Listing, step: int) -> Book:
        """As of ``step × book_step_ms``."""
        minute, part_ms = divmod(step * listing.book_step_ms, MINUTE_MS)
        found = self.at(listing, minute)
        maker = self._makers.get(listing.name)
        if maker is None:
            typical = ASSET_MODELS[listing.asset].price * listing.price_mult / listing.tick
            grid = grid_of(listing, max(1, round(typical)))
            key = self._key(listing.name) ^ 0xB00C
            maker = self._makers[listing.name] = BookMaker(key, listing, grid)
        stand = found.resting or self._rest(found, maker, listing, minute)
        second = part_ms // 1_000
        left = (stand.left[0][second], stand.left[1][second])
        return maker.make(step, found.touch(part_ms), stand.depths, left, stand.spoof)

    def _rest(self, found: Minute, maker: BookMaker, listing: Listing, minute: int) -> _Resting:
        depth, lean = np.empty(_DEPTH_MINUTES), np.empty(_DEPTH_MINUTES)
        first = minute - _DEPTH_MINUTES + 1
        for number in range(_DEPTH_MINUTES):
            day, at = divmod(first + number, DAY_MINUTES)
            depth[number] = self._paths.day(listing.asset, day).depth[at]
            before, last = divmod(first + number - 1, DAY_MINUTES)
            bars = self._venue_day(listing, before)
            lean[number] = bars.buy_volume[last] / bars.volume[last] - 0.5
        lean *= _LEAN
        sells, buys = (_left(found.tape, side).tolist() for side in (0, 1))
        key, middle = self._key(listing.name), found.middle
        found.resting = _Resting(
            Depths(first, depth * (1.0 + lean), depth * (1.0 - lean)),
            (sells, buys),
            spoof_of(key, listing, maker.grid, minute, middle, float(depth[-1])),
        )
        return found.resting


def _spread(listing: Listing, asset: AssetDay, at: int) -> int:
    """Wider when volatile: ticks."""
    usual = ASSET_MODELS[listing.asset].daily_volatility * _MINUTE
    stress = float(asset.sigma[at]) / usual
    wider = float(stress**0.7 * float(asset.depth[at]) ** -0.25)
    return max(1, round(listing.spread_ticks * wider))


def _left(tape: Tape, side: int) -> FloatArray:
    """What takers of a side have left of the best level against them, second by second."""
    second = (tape.time_ms - tape.time_ms[0] // MINUTE_MS * MINUTE_MS) // 1_000
    taken = np.bincount(second, weights=tape.lots * (tape.is_buy == side), minlength=60)
    felt = fading(floats(taken), _REFILL)
    usual = max(1.0, float(tape.lots.sum()) / 60.0)
    out: FloatArray = 1.0 / (1.0 + _SWEPT * felt / usual)
    return out
