"""The seeded market: the smallest model that gives every listing a consistent market.

One index path per asset, from which each listing's bars follow in closed form; a minute's trades are
made to add up to its bar; books stand around the last trade; funding follows the premium.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np

from apps.sandbox.market import positioning
from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.book import Grid, grid_of, make_book
from apps.sandbox.market.funding import HOUR_MS, funding_rate, settlement_grid
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.minutes import DayBars, compute_day
from apps.sandbox.market.noise import FloatArray, IntArray, floats, key_of
from apps.sandbox.market.paths import IndexPaths, Premiums
from apps.sandbox.market.protocol import (
    DAY_MINUTES,
    MINUTE_MS,
    Book,
    ForcedOrder,
    MarkState,
    MinuteBars,
    Settlement,
    Tape,
    Touch,
)
from apps.sandbox.market.scenarios import Scenario
from apps.sandbox.market.tape import make_tape

# Kept per listing: today and yesterday (a rolling day), two minutes of trades and the next one, two
# minutes' rates; and room for questions about the past.
_DAYS_EACH: Final = 2
_TAPES_EACH: Final = 3
_RATES_EACH: Final = 2
_DAYS_SPARE: Final = 160
_TAPES_SPARE: Final = 300
_RATES_SPARE: Final = 150


class SeededMarket:
    """Implements ``protocol.Market``. Not thread-safe: one event loop owns it."""

    def __init__(self, seed: int, listings: Sequence[Listing]) -> None:
        self.seed = seed
        self.listings = tuple(listings)
        self._paths = IndexPaths(seed)
        self._premiums = Premiums(seed)
        self._days: OrderedDict[tuple[str, int], DayBars] = OrderedDict()
        self._tapes: OrderedDict[tuple[str, int], Tape] = OrderedDict()
        self._rates: OrderedDict[tuple[str, int], float] = OrderedDict()
        count = len(self.listings)
        self._most_days = _DAYS_EACH * count + _DAYS_SPARE
        self._most_tapes = _TAPES_EACH * count + _TAPES_SPARE
        self._most_rates = _RATES_EACH * count + _RATES_SPARE
        self._grids: dict[str, Grid] = {}
        self._keys: dict[str, int] = {
            listing.name: key_of(seed, "flow", listing.name) for listing in self.listings
        }
        self.scenarios: tuple[Scenario, ...] = ()

    def start(self, scenario: Scenario) -> None:
        """From ``scenario.start_ms`` on the market follows it; everything before stays as it was."""
        self.scenarios = (*self.scenarios, scenario)

    def _day(self, listing: Listing, day: int) -> DayBars:
        slot = (listing.name, day)
        found = self._days.get(slot)
        if found is None:
            found = compute_day(self.seed, self._paths, self._premiums, listing, day)
            self._days[slot] = found
            if len(self._days) > self._most_days:
                self._days.popitem(last=False)
        else:
            self._days.move_to_end(slot)
        return found

    def minute_bars(self, listing: Listing, first: int, last: int) -> MinuteBars:
        """Bars of the minutes first … last inclusive; quote amounts are volume × typical price."""
        parts: list[tuple[IntArray, ...]] = []
        for day in range(first // DAY_MINUTES, last // DAY_MINUTES + 1):
            bars = self._day(listing, day)
            start = max(first - day * DAY_MINUTES, 0)
            stop = min(last - day * DAY_MINUTES, DAY_MINUTES - 1) + 1
            cut = slice(start, stop)
            parts.append(
                (
                    bars.edge[:-1][cut],
                    bars.high[cut],
                    bars.low[cut],
                    bars.edge[1:][cut],
                    bars.volume[cut],
                    bars.buy_volume[cut],
                    bars.trades[cut],
                    bars.first_id + bars.trades_before[cut],
                )
            )
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        open_, high, low, close, volume, buy, trades, first_id = columns
        unit = listing.tick * listing.lot
        typical = (open_ + high + low + close) * (0.25 * unit)
        return MinuteBars(
            first,
            open_,
            high,
            low,
            close,
            volume,
            buy,
            volume * typical,
            buy * typical,
            trades,
            first_id,
        )

    def tape(self, listing: Listing, minute: int) -> Tape:
        slot = (listing.name, minute)
        found = self._tapes.get(slot)
        if found is not None:
            return found
        day, at = divmod(minute, DAY_MINUTES)
        bars = self._day(listing, day)
        found = make_tape(
            self._keys[listing.name],
            minute,
            int(bars.first_id + bars.trades_before[at]),
            (int(bars.edge[at]), int(bars.high[at]), int(bars.low[at]), int(bars.edge[at + 1])),
            int(bars.volume[at]),
            int(bars.buy_volume[at]),
            int(bars.trades[at]),
        )
        self._tapes[slot] = found
        if len(self._tapes) > self._most_tapes:
            self._tapes.popitem(last=False)
        return found

    def touch(self, listing: Listing, t_ms: int) -> Touch:
        """The last trade printed at the touch of its side."""
        minute = t_ms // MINUTE_MS
        tape = self.tape(listing, minute)
        at = int(np.searchsorted(tape.time_ms, t_ms, side="right")) - 1
        if at < 0:
            tape, at = self.tape(listing, minute - 1), -1
        price = int(tape.price[at])
        if tape.is_buy[at]:
            return Touch(max(price - listing.spread_ticks, 1), max(price, 2))
        return Touch(price, price + listing.spread_ticks)

    def book(self, listing: Listing, step: int) -> Book:
        grid = self._grids.get(listing.name)
        if grid is None:
            typical = ASSET_MODELS[listing.asset].price * listing.price_mult / listing.tick
            grid = self._grids[listing.name] = grid_of(listing, max(1, round(typical)))
        touch = self.touch(listing, step * listing.book_step_ms)
        return make_book(self._keys[listing.name] ^ 0xB00C, listing, grid, touch, step)

    def index_path(self, listing: Listing, minutes: IntArray) -> FloatArray:
        return self._index(listing, floats(minutes * 60.0))

    def _index(self, listing: Listing, t_s: FloatArray) -> FloatArray:
        position = t_s / 60.0
        minute = np.floor(position).astype(np.int64)
        part = position - minute
        out = np.empty_like(t_s)
        days = minute // DAY_MINUTES
        for day in range(int(days.min()), int(days.max()) + 1):
            chosen = days == day
            path = self._paths.day(listing.asset, day)
            at = minute[chosen] - day * DAY_MINUTES
            out[chosen] = path[at] + (path[at + 1] - path[at]) * part[chosen]
        result: FloatArray = np.exp(out) * listing.price_mult
        return result

    def premium_path(self, listing: Listing, minutes: IntArray) -> FloatArray:
        return self._premiums.at(listing.asset, floats(minutes * 60.0))

    def mark_state(self, listing: Listing, t_ms: int) -> MarkState:
        t_s = np.array([t_ms / 1000.0])
        index = float(self._index(listing, t_s)[0])
        premium = float(self._premiums.at(listing.asset, t_s)[0])
        interval_ms = (listing.funding_interval_h or 8) * HOUR_MS
        due = (t_ms // interval_ms + 1) * interval_ms
        return MarkState(
            index * (1.0 + premium),
            index,
            index * (1.0 + 0.6 * premium),
            self._rate(listing, t_ms),
            due,
        )

    def _rate(self, listing: Listing, t_ms: int) -> float:
        """The rate of the interval that ``t_ms`` is in, as estimated at the last whole minute."""
        slot = (listing.name, t_ms // MINUTE_MS)
        found = self._rates.get(slot)
        if found is None:
            interval_h = listing.funding_interval_h or 8
            begin = t_ms // (interval_h * HOUR_MS) * (interval_h * HOUR_MS) // MINUTE_MS
            found = self._mean_rate(listing, begin, t_ms // MINUTE_MS, interval_h)
            self._rates[slot] = found
            if len(self._rates) > self._most_rates:
                self._rates.popitem(last=False)
        return found

    def _mean_rate(self, listing: Listing, first: int, last: int, interval_h: int) -> float:
        minutes = np.arange(first, last + 1, dtype=np.int64)
        mean = self.premium_path(listing, minutes).mean(keepdims=True)
        return float(funding_rate(mean, interval_h)[0])

    def settlements(self, listing: Listing, start_ms: int, end_ms: int) -> list[Settlement]:
        interval_h = listing.funding_interval_h
        if interval_h is None:
            return []
        grid = settlement_grid(start_ms, end_ms, interval_h)
        if not len(grid):
            return []
        minutes = interval_h * 60
        last = grid // MINUTE_MS
        # The settled rate is the estimate of the interval's last minute.
        span = np.arange(minutes, dtype=np.int64) - minutes
        premium = self.premium_path(listing, (last[:, None] + span[None, :]).ravel())
        rates = funding_rate(premium.reshape(len(grid), minutes).mean(axis=1), interval_h)
        marks = self.index_path(listing, last) * (1.0 + self.premium_path(listing, last))
        return [
            Settlement(int(at), float(rate), float(mark))
            for at, rate, mark in zip(grid, rates, marks, strict=True)
        ]

    def open_interest(self, listing: Listing, t_ms: IntArray) -> FloatArray:
        return positioning.open_interest_lots(self.seed, listing, t_ms)

    def long_share(self, listing: Listing, series: str, t_ms: IntArray) -> FloatArray:
        return positioning.long_share(self.seed, listing.asset, series, t_ms)

    def liquidations(self, listing: Listing, minute: int) -> list[ForcedOrder]:
        """Some of the minute's trades are forced; more of them when the minute moved far."""
        if not listing.is_perp:
            return []
        model = ASSET_MODELS[listing.asset]
        bar = self.minute_bars(listing, minute, minute)
        chosen = positioning.forced_trades(
            self._keys[listing.name], model, minute, self.tape(listing, minute), bar
        )
        tape = self.tape(listing, minute)
        return [
            ForcedOrder(
                int(tape.time_ms[at]),
                bool(tape.is_buy[at]),
                int(tape.price[at]),
                int(tape.lots[at]),
            )
            for at in chosen
        ]
